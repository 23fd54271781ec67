// Package outbound is the one HTTP client for what the server fetches from addresses
// that others chose: the keys of clients and whatever else a registration points to.
//
// Who chooses an address must not be able to make the server reach what only the
// server can reach, to keep it busy, or to learn from its errors what is there. So it
// speaks https only, follows no redirect, heeds no proxy of the environment, checks
// the address at the moment of connecting, and is bounded in time, in bytes and in
// requests at once. What an Error says may be told to anybody; Detail is for the log.
//
// RFC 9101 §10.4, RFC 7591 §5
package outbound

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"mime"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
)

const (
	totalTime  = 5 * time.Second
	maxURL     = 2000     // bytes
	maxHeader  = 16 << 10 // bytes of a response's header
	perHost    = 4        // requests at once
	everywhere = 64       // requests at once
)

// ErrURL is the error for an address that is never fetched. RFC 9101 §5.2
var ErrURL = errors.New("outbound: only an https URL without user, password and fragment is fetched")

// Error is the failure of a fetch. Its text is always the same, so that it can be told
// to the one who chose the address.
type Error struct {
	URL    string
	Detail string // what happened, for the log alone
	Cause  error  // nil if the answer was what is wrong

	refused bool // see Refused
}

// Error returns the same text for every failure.
func (*Error) Error() string { return "outbound: the document could not be fetched" }

// Unwrap returns the cause, whose text is for the log alone.
func (e *Error) Unwrap() error { return e.Cause }

// Detail returns what the log should say about the error of a fetch.
func Detail(err error) string {
	e := (*Error)(nil)
	switch {
	case err == nil:
		return ""
	case !errors.As(err, &e):
		return err.Error()
	case e.Cause != nil:
		return fmt.Sprintf("%.200q: %s: %v", e.URL, e.Detail, e.Cause)
	}
	return fmt.Sprintf("%.200q: %s", e.URL, e.Detail)
}

// Refused says of the error of a fetch that the host has answered, and that the document
// is not there: gone, moved, kept back, or no document of this kind. It is false for what
// may be over by the next time: no answer, and the statuses 408, 425, 429 and 5xx.
func Refused(err error) bool {
	e := (*Error)(nil)
	return errors.As(err, &e) && e.refused
}

// passes says that a status speaks of the moment. RFC 9110 §15.5.9, §15.6
func passes(status int) bool {
	return status >= 500 || status == http.StatusRequestTimeout || status == http.StatusTooEarly || status == http.StatusTooManyRequests
}

var errClosed = errors.New("outbound: the address is not on the open Internet")

// Options change how the client reaches others. The zero value is the strict choice.
type Options struct {
	// Hosts are the hosts that may have any address, each as "host:port": those of
	// an intranet, or of a test.
	Hosts []string
	// Roots are the certificate authorities that are trusted. nil: the system's.
	Roots *x509.CertPool
	// Resolver looks up names. nil: the system's.
	Resolver *net.Resolver
	// Time bounds one fetch in all. 0: 5 s.
	Time time.Duration
	// Loopback lets Post reach http URLs on this machine, for a server that stands on
	// loopback itself.
	Loopback bool
}

// Client fetches documents. It is safe for concurrent use, keeps no connection open
// and starts no goroutine that outlives a call.
type Client struct {
	http     *http.Client
	gate     *gate
	total    time.Duration
	loopback bool
}

// New makes a Client.
func New(o Options) *Client {
	strict := &net.Dialer{Resolver: o.Resolver, Control: refuseClosed}
	free := &net.Dialer{Resolver: o.Resolver}
	hosts := make([]string, len(o.Hosts))
	for i, h := range o.Hosts {
		hosts[i] = strings.ToLower(h)
	}
	total := o.Time
	if total == 0 {
		total = totalTime
	}
	return &Client{
		total: total, loopback: o.Loopback,
		gate: newGate(perHost, everywhere),
		http: &http.Client{
			Transport: &http.Transport{
				Proxy: nil, // one of the environment would connect in our place, unchecked
				DialContext: func(ctx context.Context, network, address string) (net.Conn, error) {
					if slices.Contains(hosts, strings.ToLower(address)) || ctx.Value(plain{}) != nil {
						return free.DialContext(ctx, network, address)
					}
					return strict.DialContext(ctx, network, address)
				},
				TLSClientConfig:        &tls.Config{RootCAs: o.Roots, MinVersion: tls.VersionTLS12},
				TLSNextProto:           map[string]func(string, *tls.Conn) http.RoundTripper{}, // HTTP/1.1 alone
				DisableKeepAlives:      true,
				DisableCompression:     true,
				MaxResponseHeaderBytes: maxHeader,
			},
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		},
	}
}

// CheckURL says whether an address has the form of one that is fetched. The error is
// ErrURL.
func CheckURL(raw string) error {
	_, err := parse(raw)
	return err
}

func parse(raw string) (*url.URL, error) {
	u, err := url.Parse(raw)
	if err != nil || len(raw) > maxURL || u.Scheme != "https" || u.Hostname() == "" || u.User != nil || strings.Contains(raw, "#") {
		return nil, ErrURL
	}
	return u, nil
}

// Request asks for one document.
type Request struct {
	URL   string
	Limit int      // bytes that the document may have; a longer one is an error
	Types []string // media types that it may have, "+json" for all that end so; empty: any
}

// Document is what was fetched.
type Document struct {
	Body []byte
	// Life is how long the document may be kept, as Cache-Control says: 0 forbids
	// it, a negative value means that nothing was said. RFC 9111 §5.2.2
	Life time.Duration
}

// Get fetches a document. Everything but the status 200 is an error. The error is
// ErrURL or an *Error.
func (c *Client) Get(ctx context.Context, r Request) (*Document, error) {
	u, err := parse(r.URL)
	if err != nil {
		return nil, err
	}
	ctx, cancel := within(ctx, c.total)
	defer cancel()
	leave, err := c.gate.enter(ctx, u.Host)
	if err != nil {
		return nil, &Error{URL: r.URL, Detail: "too many requests to this host are under way", Cause: err}
	}
	defer leave()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, u.String(), nil)
	if err != nil {
		return nil, ErrURL
	}
	request.Header.Set("User-Agent", "Doorward")
	if len(r.Types) > 0 {
		request.Header.Set("Accept", strings.Join(slices.DeleteFunc(slices.Clone(r.Types), func(t string) bool { return t[0] == '+' }), ", "))
	}
	answer, err := c.http.Do(request)
	if err != nil {
		return nil, &Error{URL: r.URL, Detail: "no answer", Cause: err}
	}
	defer func() { _ = answer.Body.Close() }() // it was only read
	document, err := read(answer, r)
	if err == nil && ctx.Err() != nil { // its last bytes came while the connection was being closed
		return nil, &Error{URL: r.URL, Detail: "no answer", Cause: ctx.Err()}
	}
	return document, err
}

// takes says whether a media type is one of those that are asked for. RFC 6839 §3.1
func (r Request) takes(media string) bool {
	return slices.ContainsFunc(r.Types, func(t string) bool {
		return t == media || t[0] == '+' && strings.HasPrefix(media, "application/") && strings.HasSuffix(media, t)
	})
}

func read(answer *http.Response, r Request) (*Document, error) {
	if answer.StatusCode != http.StatusOK {
		return nil, &Error{URL: r.URL, Detail: "the status is " + strconv.Itoa(answer.StatusCode), refused: !passes(answer.StatusCode)}
	}
	if media, _, err := mime.ParseMediaType(answer.Header.Get("Content-Type")); len(r.Types) > 0 && (err != nil || !r.takes(media)) {
		return nil, &Error{URL: r.URL, Detail: fmt.Sprintf("the Content-Type is %.80q", answer.Header.Get("Content-Type")), refused: true}
	}
	tooLong := &Error{URL: r.URL, Detail: fmt.Sprintf("it has more than %d bytes", r.Limit), refused: true}
	if answer.ContentLength > int64(r.Limit) {
		return nil, tooLong
	}
	body, err := io.ReadAll(io.LimitReader(answer.Body, int64(r.Limit)+1))
	switch {
	case err != nil:
		return nil, &Error{URL: r.URL, Detail: "the answer broke off", Cause: err}
	case len(body) > r.Limit:
		return nil, tooLong
	}
	return &Document{Body: body, Life: life(answer.Header)}, nil
}

// life reads how long an answer stays fresh. Only what a cache of one's own heeds
// counts, so s-maxage does not. RFC 9111 §4.2.1
func life(header http.Header) time.Duration {
	seconds := -1
	for part := range strings.SplitSeq(strings.Join(header.Values("Cache-Control"), ","), ",") {
		name, value, _ := strings.Cut(strings.ToLower(strings.TrimSpace(part)), "=")
		switch name {
		case "no-store", "no-cache":
			return 0
		case "max-age":
			if n, err := strconv.Atoi(strings.Trim(value, `"`)); err == nil && n >= 0 && seconds < 0 {
				seconds = min(n, 1<<30)
			}
		}
	}
	if seconds < 0 {
		return -1
	}
	if age, err := strconv.Atoi(header.Get("Age")); err == nil && age > 0 {
		seconds = max(0, seconds-min(age, 1<<30))
	}
	return time.Duration(seconds) * time.Second
}
