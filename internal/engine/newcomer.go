package engine

import "context"

type (
	askingKey   struct{}
	renewingKey struct{}
)

// Asking marks a context as that of a client which asks for something new, on behalf of
// whoever sends the request: what stands behind its ID may be fetched for it. source is
// where the request comes from, for limits.
func Asking(ctx context.Context, source string) context.Context {
	return context.WithValue(ctx, askingKey{}, source)
}

// AskedBy returns the source of Asking; ok is false where nothing new is asked for.
func AskedBy(ctx context.Context) (source string, ok bool) {
	source, ok = ctx.Value(askingKey{}).(string)
	return source, ok
}

// Renewing says whether tokens are issued from what was granted before.
func Renewing(ctx context.Context) bool { return ctx.Value(renewingKey{}) != nil }
