package conformance

// clientCases are the tables of cases for a client, a concept each.
func clientCases() [][]Case {
	return [][]Case{
		clientFrameCases, clientHelloCases, clientLoginCases, clientScramCases, clientPhaseCases,
		clientEchoCases, clientTextCases, clientNumberCases, clientResendCases,
		clientReceiveCases, clientAckCases, clientOriginCases,
		clientSessionCases, clientBeatCases, clientReturnCases, clientEndCases,
		clientListCases, clientConsentCases, clientPrivateCases, clientDialCases, clientDialBackCases, clientExtensionCases,
	}
}
