package conformance

// serverCases are the tables of cases for a server, a concept each.
func serverCases() [][]Case {
	return [][]Case{
		badLineCases(), goodLineCases, streamCases,
		checkCases, phaseCases, earlyCases(), unnumberedCases(),
		helloCases, loginCases, badLoginCases, lockoutCases, scramCases, tokenCases,
		sendCases, textCases, castCases, quotaCases,
		numberCases, decideCases, windowCases,
		ackCases, deliverCases, inFlightCases, originCases,
		sessionCases, presenceCases, heartbeatCases, mailCases,
		blockCases, onlineCases,
		listenCases, consentCases, revokeCases, keyCases, relayCases, dialBackCases,
		endCases, extensionCases(),
	}
}
