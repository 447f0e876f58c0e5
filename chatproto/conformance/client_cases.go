package conformance

func clientCases() [][]Case { return nil }

type clientCase struct{ check }
