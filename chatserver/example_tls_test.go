package chatserver_test

import (
	"crypto/tls"
	"fmt"
	"io"
	"log"
	"net"
	"os"
	"path/filepath"

	"github.com/parleyproto/parley/chatproto/handshake"
	"github.com/parleyproto/parley/chatserver"
)

// A server that nobody vouches for. Its operator tells people the
// fingerprint, by which their clients know it.
func ExampleSelfSigned() {
	dir, err := os.MkdirTemp("", "parley")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)
	cert, err := chatserver.SelfSigned(filepath.Join(dir, "tls"))
	if err != nil {
		log.Fatal(err)
	}
	fingerprint, err := chatserver.LeafFingerprint(cert)
	if err != nil {
		log.Fatal(err)
	}
	srv := &chatserver.Server{
		Accounts:  chatserver.Credentials{"columbia": "116bway"},
		TLSConfig: &tls.Config{Certificates: []tls.Certificate{cert}},
	}
	defer srv.Close()

	near, far := net.Pipe()
	go srv.ServeConn(far)
	client := tls.Client(near, &tls.Config{
		NextProtos:         []string{handshake.ALPN},
		InsecureSkipVerify: true, // by an authority; VerifyConnection knows the key
		VerifyConnection: func(s tls.ConnectionState) error {
			if got := handshake.Fingerprint(s.PeerCertificates[0].RawSubjectPublicKeyInfo); got != fingerprint {
				return fmt.Errorf("the server has another key: %s", got)
			}
			return nil
		},
	})
	fmt.Fprint(client, "HELO v=1\r\n")
	answer := make([]byte, len("220"))
	if _, err := io.ReadFull(client, answer); err != nil {
		log.Fatal(err)
	}
	client.Close()
	fmt.Printf("%.7s %s\n", fingerprint, answer)
	// Output: sha256: 220
}

// A server whose certificate an authority's client renews: connections to
// come get the new one, without a restart.
func ExampleCertificateFiles() {
	files, err := chatserver.CertificateFiles("/etc/parley/fullchain.pem", "/etc/parley/key.pem", nil)
	if err != nil {
		fmt.Println("no certificate yet")
		return
	}
	srv := &chatserver.Server{
		Accounts:  chatserver.Credentials{"columbia": "116bway"},
		TLSConfig: &tls.Config{GetCertificate: files.GetCertificate},
	}
	srv.Close()
	// Output: no certificate yet
}
