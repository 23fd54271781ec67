package outbound

import (
	"context"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
)

// plain marks a request to an http URL on this machine, where alone one may go.
type plain struct{}

// CheckPostURL says whether an address has the form of one that Post reaches; loopback
// allows http URLs on this machine as well. The error is ErrURL.
func CheckPostURL(raw string, loopback bool) error {
	_, _, err := parsePost(raw, loopback)
	return err
}

func parsePost(raw string, loopback bool) (u *url.URL, local bool, err error) {
	if u, err = parse(raw); err == nil {
		return u, false, nil
	}
	u, err = url.Parse(raw)
	if !loopback || err != nil || len(raw) > maxURL || u.Scheme != "http" || u.User != nil || strings.Contains(raw, "#") || !thisMachine(u.Hostname()) {
		return nil, false, ErrURL
	}
	return u, true, nil
}

// thisMachine takes the two addresses and no name but the one that RFC 6761 §6.3 keeps.
func thisMachine(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

// Post sends a form and returns the status of the answer, of which nothing else is read:
// who chose the address must not be able to write into the log. The error is ErrURL or
// an *Error; an answer of any status is none.
func (c *Client) Post(ctx context.Context, to string, form url.Values) (status int, err error) {
	u, local, err := parsePost(to, c.loopback)
	if err != nil {
		return 0, err
	}
	ctx, cancel := context.WithTimeout(ctx, c.total)
	defer cancel()
	if local {
		ctx = context.WithValue(ctx, plain{}, true)
	}
	leave, err := c.gate.enter(ctx, u.Host)
	if err != nil {
		return 0, &Error{URL: to, Detail: "too many requests to this host are under way", Cause: err}
	}
	defer leave()
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, u.String(), strings.NewReader(form.Encode()))
	if err != nil {
		return 0, ErrURL
	}
	request.Header.Set("User-Agent", "Doorward")
	request.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	answer, err := c.http.Do(request)
	if err != nil {
		return 0, &Error{URL: to, Detail: "no answer", Cause: err}
	}
	_, _ = io.CopyN(io.Discard, answer.Body, maxHeader) // politely; what it says does not matter
	_ = answer.Body.Close()
	return answer.StatusCode, nil
}
