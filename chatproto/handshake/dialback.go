package handshake

// What a client and a server that dials it agree by (SPEC section 7.7).
const (
	// CapDialBack is the capability, in caps= of HELO and of the 220.
	CapDialBack = "dialback"
	// BackALPN is the name of the protocol in the handshake of TLS on
	// connections that the server made, and on no others.
	BackALPN = "parley-back/1"
	// MechExternal is the mechanism by which clients log in there: the key of
	// their certificate has told who they are.
	MechExternal = "EXTERNAL"
)
