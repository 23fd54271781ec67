package handlers

import (
	"maps"
	"net/http"
	"slices"
)

// Values of headers that are the same in every answer. A header is given another value
// by another slice: these are never written to. Nor does who stands before us get to
// write to them: see own.
var (
	everybody = []string{"*"}
	mediaJSON = []string{"application/json"}
	noStore   = []string{"no-store"}
	noCache   = []string{"no-cache"}
	noSniff   = []string{"nosniff"}
	noFrame   = []string{"DENY"}
	noContent = []string{"default-src 'none'; frame-ancestors 'none'; base-uri 'none'"}

	noReferrer   = []string{"no-referrer"}
	sameReferrer = []string{"same-origin"}
)

// response holds an answer back until it is whole, so that a panic or a failing
// commit never leaves half of one.
type response struct {
	header http.Header
	shared bool // header is that of who is answered
	status int
	body   []byte
}

func newResponse() *response { return &response{header: http.Header{}} }

// responseTo holds back what is for w. Where w has no headers of somebody else, its own
// map is used, which saves making another one and copying it.
func responseTo(w http.ResponseWriter) *response {
	if header := w.Header(); len(header) == 0 {
		return &response{header: header, shared: true}
	}
	return newResponse()
}

func (b *response) Header() http.Header { return b.header }

func (b *response) WriteHeader(status int) {
	if b.status == 0 && status >= 200 {
		b.status = status
	}
}

func (b *response) Write(p []byte) (int, error) {
	b.WriteHeader(http.StatusOK)
	b.body = append(b.body, p...)
	return len(p), nil
}

// written says whether an answer was begun.
func (b *response) written() bool { return b.status != 0 }

// reset drops what was answered, but for the headers of these names.
func (b *response) reset(but ...string) {
	maps.DeleteFunc(b.header, func(name string, _ []string) bool { return !slices.Contains(but, name) })
	b.status, b.body = 0, nil
}

func (b *response) send(w http.ResponseWriter, r *http.Request) {
	if !b.shared {
		header := w.Header()
		for name, values := range b.header {
			if name == "Set-Cookie" || name == "Vary" { // what stands before us may have some of its own
				values = slices.Concat(header[name], values)
			}
			header[name] = values
		}
	}
	own(w.Header())
	if !b.written() {
		b.status = http.StatusOK
	}
	w.WriteHeader(b.status)
	if r.Method != http.MethodHead && len(b.body) > 0 {
		_, _ = w.Write(b.body) // the peer is gone: there is nobody to tell
	}
}

// own gives the headers of an answer values that no other answer has: middleware of the
// host may change them in place, and would change those of all answers to come.
func own(header http.Header) {
	count := 0
	for _, values := range header {
		count += len(values)
	}
	all := make([]string, 0, count)
	for name, values := range header {
		at := len(all)
		all = append(all, values...)
		header[name] = all[at:len(all):len(all)]
	}
}

// baseHeaders gives an answer that is written by a host's handler what every answer of
// ours carries.
func baseHeaders(header http.Header, id string, referrer []string) {
	commonHeaders(header, id, referrer)
	own(header)
}

// commonHeaders sets what every answer carries, unless the endpoint said otherwise.
func commonHeaders(header http.Header, id string, referrer []string) {
	header["X-Request-Id"], header["X-Content-Type-Options"] = []string{id}, noSniff
	unlessSet(header, "Referrer-Policy", referrer)
	unlessSet(header, "Content-Security-Policy", noContent)
	unlessSet(header, "Cache-Control", noStore)
	unlessSet(header, "X-Frame-Options", noFrame)
}

// unlessSet gives a header a value when it has none. The name is in canonical form.
func unlessSet(header http.Header, name string, value []string) {
	if was := header[name]; len(was) == 0 || was[0] == "" {
		header[name] = value
	}
}

// referrer is the Referrer-Policy of an answer.
func (rule *rule) referrer(status int) []string {
	if rule.forms && (status < 300 || status >= 400) {
		// With no-referrer a browser sends "Origin: null" with a form, and one without
		// Sec-Fetch-Site could not show that it is ours. Other sites learn nothing by
		// this either. Fetch standard §3.2
		return sameReferrer
	}
	return noReferrer
}
