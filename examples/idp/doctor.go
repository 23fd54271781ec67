package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"strings"
	"time"

	"github.com/doorward/doorward/server"
)

type doctorCommand struct {
	Issuer      string `arg:"" help:"The issuer, as clients are configured with it." placeholder:"URL"`
	Client      string `help:"client_id of a registered client, to begin a sign-in too." placeholder:"ID"`
	RedirectURI string `name:"redirect-uri" help:"One of its redirect URIs." placeholder:"URL"`
	CA          string `help:"PEM file of authorities to trust beside the system's." placeholder:"FILE"`
}

const (
	// certificateMargin is how long a certificate should still be good.
	certificateMargin = 14 * 24 * time.Hour
	// certificateTime is how long the server may take to show it.
	certificateTime = 10 * time.Second
)

// errUnwell means that the doctor found something.
var errUnwell = errors.New("a client would not get along with this server")

// Run walks the server and prints what was looked at, problems with their remedies.
func (c *doctorCommand) Run(x *call) error {
	if (c.Client == "") != (c.RedirectURI == "") {
		return fmt.Errorf("%w: --client and --redirect-uri go together", errUsage)
	}
	transport, err := c.transport()
	if err != nil {
		return err
	}
	found := server.Diagnose(x.ctx, server.Deployment{
		Issuer: c.Issuer, ClientID: c.Client, RedirectURI: c.RedirectURI, HTTP: &http.Client{Transport: transport},
	})
	if strings.HasPrefix(c.Issuer, "https://") && found[0].Problem == "" {
		found = append(found, c.certificate(x, transport)...)
	}
	unwell := false
	for _, f := range found {
		unwell = unwell || f.Problem != ""
	}
	if x.json {
		if err := x.printJSON(found); err != nil {
			return err
		}
	} else {
		for _, f := range found {
			if f.Problem == "" {
				fmt.Fprintf(x.streams.out, "  ok    %s\n", f.Name)
				continue
			}
			fmt.Fprintf(x.streams.out, "  WRONG %s\n        %s\n        change: %s\n", f.Name, f.Problem, f.Remedy)
		}
	}
	if unwell {
		return errUnwell
	}
	return nil
}

func (c *doctorCommand) transport() (*http.Transport, error) {
	transport := &http.Transport{TLSClientConfig: &tls.Config{MinVersion: tls.VersionTLS12}}
	if c.CA == "" {
		return transport, nil
	}
	pem, err := os.ReadFile(c.CA)
	if err != nil {
		return nil, fmt.Errorf("read the authorities: %w", err)
	}
	roots, err := x509.SystemCertPool()
	if err != nil {
		roots = x509.NewCertPool()
	}
	if !roots.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("%w: %s holds no certificate in PEM", errUsage, c.CA)
	}
	transport.TLSClientConfig.RootCAs = roots
	return transport, nil
}

// certificate looks at when the certificate ends. Of a host that can't be reached there is
// none to look at; the walk has told that.
func (c *doctorCommand) certificate(x *call, transport *http.Transport) []server.Finding {
	f := server.Finding{Name: "certificate"}
	ctx, cancel := context.WithTimeout(x.ctx, certificateTime)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodHead, c.Issuer, nil)
	if err != nil {
		f.Problem, f.Remedy = err.Error(), "the issuer"
		return []server.Finding{f}
	}
	response, err := transport.RoundTrip(request)
	if dial := (*net.OpError)(nil); ctx.Err() != nil || errors.As(err, &dial) && dial.Op == "dial" {
		return nil
	}
	if err != nil {
		f.Problem, f.Remedy = err.Error(), "the certificate of the proxy or of the server"
		return []server.Finding{f}
	}
	_ = response.Body.Close() // of HEAD
	if end := response.TLS.PeerCertificates[0].NotAfter; time.Until(end) < certificateMargin {
		f.Problem, f.Remedy = fmt.Sprintf("it ends on %s", end.Format(time.DateOnly)), "renew it"
	}
	return []server.Finding{f}
}
