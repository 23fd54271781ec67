package handlers

import (
	"bytes"
	"context"
	"crypto/rand"
	"fmt"
	"log/slog"
	"net/http"
	"net/netip"
	"runtime/debug"
	"slices"
	"strings"

	"github.com/doorward/doorward/internal/engine"
	"github.com/doorward/doorward/internal/outbound"
	"github.com/doorward/doorward/internal/redact"
)

// maxBody is how much of a request's body is ever read.
const maxBody = 64 << 10

// rule is what every endpoint says of itself.
type rule struct {
	name    string
	methods []string
	origins origins
	page    bool // its errors are pages for people, not JSON
	forms   bool // its pages hold forms that come back to us
	scripts bool // scripts may ask for JSON
	asks    bool // a client asks for something new here
}

func (r rule) named(name string, o origins) rule {
	r.name, r.origins = name, o
	return r
}

// asking is the rule of an endpoint where a client asks for something new.
func (r rule) asking() rule {
	r.asks = true
	return r
}

// exchange is one request on its way, kept in its context.
type exchange struct {
	id       string
	rule     rule
	clientID string   // once known
	locales  []string // that the client named for the person, once known
	from     netip.Prefix
	script   bool   // asks for JSON
	at       string // ID of the interaction, once known

	silent *engine.Authorization // a checked request with prompt=none, once known: nobody sees a page
}

type exchangeKey struct{}
type requestIDKey struct{}

// WithRequestID lets a host choose the request ID that pages and log lines carry.
// An ID that is not 1 to 64 letters, digits, dots, dashes or underscores is passed over.
func WithRequestID(ctx context.Context, id string) context.Context {
	return context.WithValue(ctx, requestIDKey{}, id)
}

// RequestID returns the ID of the request that a hook's context belongs to.
func RequestID(ctx context.Context) string { return exchangeOf(ctx).id }

func exchangeOf(ctx context.Context) *exchange {
	if x, ok := ctx.Value(exchangeKey{}).(*exchange); ok {
		return x
	}
	return &exchange{}
}

func requestID(ctx context.Context) string {
	id, _ := ctx.Value(requestIDKey{}).(string)
	odd := func(r rune) bool {
		return !(r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune("._-", r))
	}
	if id != "" && len(id) <= 64 && !strings.ContainsFunc(id, odd) {
		return id
	}
	return strings.ToLower(rand.Text()[:16])
}

// response holds an answer back until it is whole, so that a panic or a failing
// commit never leaves half of one.
type response struct {
	header http.Header
	status int
	body   bytes.Buffer
}

func newResponse() *response { return &response{header: http.Header{}} }

func (b *response) Header() http.Header { return b.header }

func (b *response) WriteHeader(status int) {
	if b.status == 0 && status >= 200 {
		b.status = status
	}
}

func (b *response) Write(p []byte) (int, error) {
	b.WriteHeader(http.StatusOK)
	return b.body.Write(p)
}

// written says whether an answer was begun.
func (b *response) written() bool { return b.status != 0 }

func (b *response) reset() {
	b.header, b.status = http.Header{}, 0
	b.body.Reset()
}

func (b *response) send(w http.ResponseWriter, r *http.Request) {
	for name, values := range b.header {
		if name == "Set-Cookie" || name == "Vary" { // what stands before us may have some of its own
			values = append(w.Header()[name], values...)
		}
		w.Header()[name] = values
	}
	if !b.written() {
		b.status = http.StatusOK
	}
	w.WriteHeader(b.status)
	if r.Method != http.MethodHead {
		_, _ = b.body.WriteTo(w) // the peer is gone: there is nobody to tell
	}
}

// serve runs one endpoint.
func (h *Handlers) serve(w http.ResponseWriter, r *http.Request, rule rule, endpoint func(http.ResponseWriter, *http.Request) *engine.Error) {
	x := &exchange{id: requestID(r.Context()), rule: rule, from: h.addressOf(r), script: rule.scripts && WantsJSON(r)}
	r = r.WithContext(outbound.Together(context.WithValue(r.Context(), exchangeKey{}, x)))
	if rule.asks {
		r = r.WithContext(engine.Asking(r.Context(), h.addressOf(r).String()))
	}
	out := newResponse()
	defer func() {
		if cause := recover(); cause != nil {
			h.logPanic(r, cause)
			out.reset()
			if e := failed("panic", fmt.Errorf("a panic of type %T", cause)); !h.refuseSilently(out, r, e) {
				h.refuse(out, r, e)
			}
		}
		h.baseHeaders(out.header, x, out.status)
		out.send(w, r)
	}()
	if rule.origins != noOrigin && preflight(r) {
		h.answerPreflight(out, r, rule)
		return
	}
	if e := h.admit(w, r, rule); e != nil {
		if e.Status == http.StatusMethodNotAllowed {
			out.header.Set("Allow", strings.Join(rule.methods, ", "))
		}
		if len(r.TransferEncoding) > 0 { // what follows on the connection may be somebody else's
			out.header.Set("Connection", "close")
		}
		h.refuse(out, r, e)
		return
	}
	if rule.origins == anyOrigin {
		out.header.Set("Access-Control-Allow-Origin", "*")
	}
	if e := endpoint(out, r); e != nil {
		kept := out.header
		out.reset()
		for _, name := range []string{"Access-Control-Allow-Origin", "Access-Control-Expose-Headers", "Vary", "Set-Cookie"} {
			if v := kept.Values(name); len(v) > 0 {
				out.header[name] = v
			}
		}
		if !h.refuseSilently(out, r, e) {
			h.refuse(out, r, e)
		}
	}
	if x.script {
		h.asJSON(out)
	}
}

// logPanic says where a panic came from, not what it said: that may be a secret.
func (h *Handlers) logPanic(r *http.Request, cause any) {
	x := exchangeOf(r.Context())
	h.log.ErrorContext(r.Context(), "a handler panicked", "request_id", x.id, "endpoint", x.rule.name,
		"err", fmt.Sprintf("%T", cause), "stack", string(debug.Stack()))
}

// admit judges what is the same for every endpoint and bounds the body.
func (h *Handlers) admit(w http.ResponseWriter, r *http.Request, rule rule) *engine.Error {
	if !slices.Contains(rule.methods, r.Method) {
		return &engine.Error{
			Code: "invalid_request", Reason: "method_not_allowed", Status: http.StatusMethodNotAllowed,
			Description: fmt.Sprintf("The method %s is not allowed here; use %s.", safeWord(r.Method), strings.Join(rule.methods, " or ")),
		}
	}
	// A body of unstated length is how requests are smuggled past a proxy that
	// reads the other header. RFC 9112 §6.1
	if len(r.TransferEncoding) > 0 {
		return &engine.Error{
			Code: "invalid_request", Reason: "transfer_encoding", Status: http.StatusLengthRequired,
			Description: "A request with Transfer-Encoding is not accepted; send Content-Length.",
		}
	}
	if r.ContentLength > maxBody {
		return tooLarge()
	}
	if len(r.URL.RawQuery) > maxBody {
		return &engine.Error{
			Code: "invalid_request", Reason: "uri_too_long", Status: http.StatusRequestURITooLong,
			Description: "The query is longer than 64 KiB.",
		}
	}
	r.Body = http.MaxBytesReader(w, r.Body, maxBody)
	return nil
}

func tooLarge() *engine.Error {
	return &engine.Error{
		Code: "invalid_request", Reason: "body_too_large", Status: http.StatusRequestEntityTooLarge,
		Description: "The body is larger than 64 KiB.",
	}
}

// baseHeaders sets what every answer carries, unless the endpoint said otherwise.
func (h *Handlers) baseHeaders(header http.Header, x *exchange, status int) {
	header.Set("X-Request-Id", x.id)
	header.Set("X-Content-Type-Options", "nosniff")
	referrer := "no-referrer"
	if x.rule.forms && (status < 300 || status >= 400) {
		// With no-referrer a browser sends "Origin: null" with a form, and one without
		// Sec-Fetch-Site could not show that it is ours. Other sites learn nothing by
		// this either. Fetch standard §3.2
		referrer = "same-origin"
	}
	for name, value := range map[string]string{
		"Referrer-Policy":         referrer,
		"Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'; base-uri 'none'",
		"Cache-Control":           "no-store",
		"X-Frame-Options":         "DENY",
	} {
		if header.Get(name) == "" {
			header.Set(name, value)
		}
	}
}

// safeWord makes what a client sent fit to be repeated in a description: what looks
// like a secret is none of it, wherever it was sent.
func safeWord(s string) string {
	const most = 40
	clean := strings.Map(func(r rune) rune {
		if r < 0x20 || r > 0x7e || r == '"' || r == '\\' {
			return '?'
		}
		return r
	}, redact.Text(s))
	if len(clean) > most {
		return clean[:most] + "..."
	}
	return clean
}

func (h *Handlers) logAttrs(x *exchange) []slog.Attr {
	attrs := []slog.Attr{slog.String("request_id", x.id), slog.String("endpoint", x.rule.name)}
	if x.clientID != "" {
		attrs = append(attrs, slog.String("client_id", redact.Identifier(x.clientID)))
	}
	return attrs
}
