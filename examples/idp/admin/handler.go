package admin

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"time"

	"github.com/doorward/doorward/storage"
)

// maxBody bounds a call; a client's metadata is a few kilobytes.
const maxBody = 256 << 10

// Handler offers an API as JSON over HTTP. Whoever reaches it may do everything:
// serve it on a socket that the operator alone can open.
func Handler(api API, log *slog.Logger) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /backup", streamBackup(api, log))
	for pattern, call := range map[string]func(*http.Request) (any, error){
		"GET /status":  func(r *http.Request) (any, error) { return api.Status(r.Context()) },
		"GET /clients": func(r *http.Request) (any, error) { return api.Clients(r.Context()) },
		"POST /clients": func(r *http.Request) (any, error) {
			return with(r, api.AddClient)
		},
		"GET /clients/{id}": func(r *http.Request) (any, error) { return api.Client(r.Context(), named(r, "id")) },
		"POST /clients/{id}/secret": func(r *http.Request) (any, error) {
			return with(r, func(ctx context.Context, o overlap) (MadeClient, error) {
				return api.RotateSecret(ctx, named(r, "id"), time.Duration(o.Seconds)*time.Second)
			})
		},
		"DELETE /clients/{id}": func(r *http.Request) (any, error) {
			return struct{}{}, api.RemoveClient(r.Context(), named(r, "id"))
		},
		"GET /tokens":  func(r *http.Request) (any, error) { return api.Tokens(r.Context()) },
		"POST /tokens": func(r *http.Request) (any, error) { return with(r, api.AddToken) },
		"DELETE /tokens/{id}": func(r *http.Request) (any, error) {
			return struct{}{}, api.RevokeToken(r.Context(), named(r, "id"))
		},
		"POST /move":     func(r *http.Request) (any, error) { return with(r, api.Move) },
		"GET /stats":     func(r *http.Request) (any, error) { return api.Stats(r.Context()) },
		"POST /data-key": func(r *http.Request) (any, error) { return api.RotateDataKey(r.Context()) },
		"POST /check":    func(r *http.Request) (any, error) { return api.Check(r.Context()) },
		"GET /users":     func(r *http.Request) (any, error) { return api.Users(r.Context()) },
		"POST /users": func(r *http.Request) (any, error) {
			return with(r, api.AddUser)
		},
		"POST /users/{name}/disable": func(r *http.Request) (any, error) {
			return api.SetDisabled(r.Context(), named(r, "name"), true)
		},
		"POST /users/{name}/enable": func(r *http.Request) (any, error) {
			return api.SetDisabled(r.Context(), named(r, "name"), false)
		},
		"POST /users/{name}/password": func(r *http.Request) (any, error) {
			return with(r, func(ctx context.Context, p password) (MadeUser, error) {
				return api.ResetPassword(ctx, named(r, "name"), p.Password)
			})
		},
		"DELETE /users/{name}": func(r *http.Request) (any, error) {
			return struct{}{}, api.RemoveUser(r.Context(), named(r, "name"))
		},
	} {
		mux.HandleFunc(pattern, func(w http.ResponseWriter, r *http.Request) {
			unhurried(w)
			result, err := call(r)
			fields := []any{"call", pattern, "path", r.URL.Path}
			if err != nil {
				fields = append(fields, "err", err)
			}
			log.InfoContext(r.Context(), "admin call", fields...)
			writeAnswer(w, r, log, result, err)
		})
	}
	return mux
}

// sign stands before every name in a path.
const sign = "="

func named(r *http.Request, wildcard string) string {
	return strings.TrimPrefix(r.PathValue(wildcard), sign)
}

func writeAnswer(w http.ResponseWriter, r *http.Request, log *slog.Logger, result any, err error) {
	status := http.StatusOK
	if err != nil {
		result, status = answerFor(err)
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	if err := json.NewEncoder(w).Encode(result); err != nil {
		log.WarnContext(r.Context(), "an admin answer could not be written", "err", err)
	}
}

type overlap struct {
	Seconds int64 `json:"overlap_seconds"`
}

type password struct {
	Password storage.Secret `json:"password,omitempty"`
}

// with calls f with the body of a request.
func with[In, Out any](r *http.Request, f func(context.Context, In) (Out, error)) (Out, error) {
	var in In
	var none Out
	decoder := json.NewDecoder(io.LimitReader(r.Body, maxBody))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&in); err != nil {
		return none, fmt.Errorf("admin: read the call: %w", err)
	}
	return f(r.Context(), in)
}
