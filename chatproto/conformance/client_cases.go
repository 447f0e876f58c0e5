package conformance

// clientCases are the tables of cases for a client, a concept each.
func clientCases() [][]Case {
	return [][]Case{
		clientFrameCases, clientHelloCases, clientLoginCases, clientPhaseCases,
		clientEchoCases, clientTextCases, clientNumberCases, clientResendCases,
		clientReceiveCases, clientAckCases, clientOriginCases,
		clientSessionCases, clientBeatCases, clientReturnCases, clientEndCases,
		clientListCases, clientConsentCases, clientExtensionCases,
	}
}
