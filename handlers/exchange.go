package handlers

import (
	"context"
	"crypto/rand"
	"fmt"
	"log/slog"
	"net/http"
	"net/netip"
	"runtime/debug"
	"slices"
	"strings"
	"time"

	"github.com/doorward/doorward/internal/arrival"
	"github.com/doorward/doorward/internal/engine"
	"github.com/doorward/doorward/internal/outbound"
	"github.com/doorward/doorward/internal/redact"
)

// maxBody is how much of a request's body is ever read.
const maxBody = 64 << 10

// bodyTime is how long a body may take where the host's server sets no time.
const bodyTime = 30 * time.Second

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

// exchange is one request on its way, and the context that its endpoint runs in: being
// that itself, it needs no further one around it.
type exchange struct {
	context.Context //nolint:containedctx // it is one itself: of the request as it came

	id       string
	rule     rule
	clientID string       // once known
	locales  []string     // that the client named for the person, once known
	from     netip.Prefix // where a client asks for something new
	script   bool         // asks for JSON
	at       string       // ID of the interaction, once known
	hook     string       // of the host, while it runs: the field of the server's Config

	silent  *engine.Authorization // a checked request with prompt=none, once known: nobody sees a page
	fetches outbound.Budget
}

// Value implements context.Context.
func (x *exchange) Value(key any) any {
	switch key.(type) {
	case exchangeKey:
		return x
	case outbound.BudgetKey:
		return &x.fetches
	}
	return x.Context.Value(key)
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
	return newRequestID()
}

// newRequestID returns 16 random letters and digits.
func newRequestID() string {
	const digits = "abcdefghijklmnopqrstuvwxyz234567"
	var id [16]byte
	rand.Read(id[:]) // never fails, crypto/rand since Go 1.24
	for i := range id {
		id[i] = digits[id[i]%byte(len(digits))]
	}
	return string(id[:])
}

// serve runs one endpoint.
func (h *Handlers) serve(w http.ResponseWriter, r *http.Request, rule rule, endpoint func(http.ResponseWriter, *http.Request) *engine.Error) {
	x := &exchange{Context: r.Context(), id: requestID(r.Context()), rule: rule, script: rule.scripts && WantsJSON(r)}
	var ctx context.Context = x
	if rule.asks {
		x.from = h.addressOf(r)
		ctx = engine.Asking(ctx, x.from.String())
	}
	r = r.WithContext(ctx)
	arrival.Within(w, r, bodyTime) // also of a body that nobody reads: net/http waits for its end
	out := responseTo(w)
	defer func() {
		if cause := recover(); cause != nil {
			h.logPanic(r, cause)
			out.reset()
			if e := failed("panic", fmt.Errorf("a panic of type %T", cause)); !h.refuseSilently(out, r, e) {
				h.refuse(out, r, e)
			}
		}
		commonHeaders(out.header, x.id, x.rule.referrer(out.status))
		out.send(w, r)
	}()
	if rule.origins != noOrigin && preflight(r) {
		h.answerPreflight(out, r, rule)
		return
	}
	if e := rule.judge(r); e != nil {
		if e.Status == http.StatusMethodNotAllowed {
			out.header.Set("Allow", strings.Join(rule.methods, ", "))
		}
		// What follows on the connection may be somebody else's, and the answer must not wait
		// until a body has come that nobody reads.
		if r.ContentLength != 0 {
			out.header.Set("Connection", "close")
		}
		h.refuse(out, r, e)
		return
	}
	if r.Body != http.NoBody {
		r.Body = http.MaxBytesReader(w, r.Body, maxBody)
	}
	if rule.origins == anyOrigin {
		out.header["Access-Control-Allow-Origin"] = everybody
	}
	if e := endpoint(out, r); e != nil {
		out.reset("Access-Control-Allow-Origin", "Access-Control-Expose-Headers", "Vary", "Set-Cookie")
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
	h.log.ErrorContext(r.Context(), "a handler panicked", "request_id", x.id, "endpoint", x.rule.name, "hook", x.hook,
		"err", fmt.Sprintf("%T", cause), "stack", string(debug.Stack()))
}

// judge refuses what no endpoint takes.
func (rule *rule) judge(r *http.Request) *engine.Error {
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
	return nil
}

func tooLarge() *engine.Error {
	return &engine.Error{
		Code: "invalid_request", Reason: "body_too_large", Status: http.StatusRequestEntityTooLarge,
		Description: "The body is larger than 64 KiB.",
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
