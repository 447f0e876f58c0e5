package main

import (
	"context"
	"errors"
	"io/fs"

	"github.com/hashicorp/go-multierror"
)

// reload takes over what changed in the files of accounts and certificate.
// What cannot be read leaves what there was, and nobody is disconnected but
// users whose account is gone.
func (d *daemon) reload(ctx context.Context) {
	d.reloadAccounts(ctx)
	if d.certificate.reload == nil {
		return
	}
	if err := d.certificate.reload(); err != nil {
		d.complain("the certificate stays the old one: %v", err)
		return
	}
	d.announceCertificate()
}

func (d *daemon) reloadAccounts(ctx context.Context) {
	c, unwise, err := readCredentials(d.credentials)
	switch {
	case d.isDemo && errors.Is(err, fs.ErrNotExist):
		d.say("there is still no %s; the demo accounts stay", d.credentials)
		return
	case err != nil:
		d.complain("the accounts stay as they were: %v", err)
		return
	}
	d.isDemo = false
	d.accounts.replace(c)
	d.warn(unwise...)
	if err := d.srv.EndRemoved(ctx); err != nil {
		var all *multierror.Error
		if !errors.As(err, &all) {
			all = multierror.Append(nil, err)
		}
		for _, err := range all.Errors {
			d.complain("%v", err)
		}
	}
	d.say("read %s again: %d accounts", d.credentials, accountsIn(c))
}
