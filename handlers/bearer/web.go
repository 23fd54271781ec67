package bearer

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
)

const (
	timeout  = 5 * time.Second
	maxBody  = 64 << 10
	minLife  = time.Minute // what a document may not be kept shorter than
	maxLife  = time.Hour
	someLife = 5 * time.Minute // when its sender says nothing
)

// web is how the issuer is asked.
type web struct {
	client   *http.Client
	loopback bool // the issuer is on loopback, and may name endpoints there
}

func newWeb(issuer *url.URL, given *http.Client) *web {
	client := &http.Client{}
	if given != nil {
		*client = *given
	} else {
		client.Transport = newTransport()
	}
	client.Jar = nil
	client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	if client.Timeout <= 0 || client.Timeout > timeout {
		client.Timeout = timeout
	}
	return &web{client: client, loopback: issuer.Scheme == "http"}
}

// statusError is an answer other than 200.
type statusError struct {
	url    string
	status int
}

func (e *statusError) Error() string { return fmt.Sprintf("%s answered %d", e.url, e.status) }

// get asks for a document and returns how long it may be kept.
func (w *web) get(ctx context.Context, address string) (body []byte, life time.Duration, err error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, address, http.NoBody)
	if err != nil {
		return nil, 0, err
	}
	body, header, err := w.do(r)
	return body, lifeOf(header), err
}

// do asks for a body, of a bounded size. An answer other than 200 is a *statusError.
func (w *web) do(r *http.Request) ([]byte, http.Header, error) {
	if !secure(r.URL, w.loopback) {
		return nil, nil, fmt.Errorf("%q is no https URL", r.URL.Redacted())
	}
	// Others wait for the answer too, so it must not depend on one of them staying.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(r.Context()), timeout)
	defer cancel()
	r = r.WithContext(ctx)
	r.Header.Set("Accept", "application/json")
	resp, err := w.client.Do(r)
	if err != nil {
		return nil, nil, err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return nil, nil, &statusError{r.URL.Redacted(), resp.StatusCode}
	}
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxBody+1))
	if err != nil {
		return nil, nil, fmt.Errorf("read the answer of %s: %w", r.URL.Redacted(), err)
	}
	if len(body) > maxBody {
		return nil, nil, fmt.Errorf("the answer of %s is longer than %d bytes", r.URL.Redacted(), maxBody)
	}
	return body, resp.Header, nil
}

// lifeOf reads Cache-Control, within bounds: a sender can neither make every token
// cost a fetch nor make a key that was withdrawn live for days. RFC 9111 §5.2.2
func lifeOf(header http.Header) time.Duration {
	life := someLife
	for directive := range strings.SplitSeq(strings.Join(header.Values("Cache-Control"), ","), ",") {
		name, value, _ := strings.Cut(strings.ToLower(strings.TrimSpace(directive)), "=")
		switch name {
		case "no-store", "no-cache":
			return minLife
		case "max-age":
			seconds, err := strconv.ParseUint(strings.Trim(value, `"`), 10, 31)
			if errors.Is(err, strconv.ErrRange) {
				return maxLife
			}
			if err == nil {
				life = min(time.Duration(seconds)*time.Second, maxLife)
			}
		}
	}
	return max(life, minLife)
}
