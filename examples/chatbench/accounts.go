package main

import (
	"bufio"
	"crypto/rand"
	"encoding/base64"
	"fmt"

	"github.com/xdg-go/scram"

	"github.com/parleyproto/parley/chatproto/handshake"
)

// user is the name of an account.
func user(i int) string { return fmt.Sprintf("bench%d", i) }

// accounts writes a credentials file.
func (b *bench) accounts() error {
	secret := b.o.password
	if b.o.scram {
		var err error
		if secret, err = verifier(b.o.password, b.o.iterations); err != nil {
			return err
		}
	}
	w := bufio.NewWriter(b.stdout)
	for i := range b.o.number {
		fmt.Fprintf(w, "%s %s\n", user(i), secret)
	}
	return w.Flush()
}

// verifier makes what a server needs to check a password by SCRAM without
// having it, in PostgreSQL's form. All accounts share it, salt included: they
// have one password, and are for load alone.
func verifier(password string, iterations int) (string, error) {
	salt := make([]byte, 16)
	rand.Read(salt)
	c, err := scram.SHA256.NewClientUnprepped("", handshake.Password(password), "")
	if err != nil {
		return "", err
	}
	v, err := c.GetStoredCredentialsWithError(scram.KeyFactors{Salt: string(salt), Iters: iterations})
	if err != nil {
		return "", err
	}
	b64 := base64.StdEncoding.EncodeToString
	return fmt.Sprintf("SCRAM-SHA-256$%d:%s$%s:%s", iterations, b64(salt), b64(v.StoredKey), b64(v.ServerKey)), nil
}
