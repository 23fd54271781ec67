package handlers

import (
	"context"
	"fmt"
	"mime"
	"net/http"
	"strings"

	"github.com/doorward/doorward/internal/engine"
	"github.com/doorward/doorward/storage"
)

// maxRegistration is how many bytes somebody may say of a client: whatever is registered
// is kept.
const maxRegistration = 16 << 10

// RegistrationRequest is a request to the registration endpoint. RFC 7591 §3.1
type RegistrationRequest struct {
	Token  storage.Secret // initial access token, "" for none
	Body   []byte
	Source string // where it comes from, for limits
}

// Registrar registers clients that ask for it; package server is one. Its errors are
// *engine.Error or those of the store. What it returns is the JSON that is answered.
type Registrar interface {
	Register(ctx context.Context, r RegistrationRequest) (map[string]any, error)
	Read(ctx context.Context, id string, token storage.Secret) (map[string]any, error)
	Replace(ctx context.Context, id string, token storage.Secret, body []byte) (map[string]any, error)
	Remove(ctx context.Context, id string, token storage.Secret) error
}

// Registers says whether there is a registration endpoint.
func (h *Handlers) Registers() bool { return h.config.Registrar != nil }

// Register is the registration endpoint. RFC 7591 §3
func (h *Handlers) Register(w http.ResponseWriter, r *http.Request) {
	h.serve(w, r, rule{name: "register", methods: []string{http.MethodPost}, origins: anyOrigin}, h.register)
}

// Registration is where a client manages itself; the last element of its path is the
// client's ID. RFC 7592 §2
func (h *Handlers) Registration(w http.ResponseWriter, r *http.Request) {
	h.serve(w, r, rule{name: "registration", methods: []string{http.MethodGet, http.MethodPut, http.MethodDelete}, origins: anyOrigin}, h.registration)
}

func (h *Handlers) register(w http.ResponseWriter, r *http.Request) *engine.Error {
	w.Header().Set("Access-Control-Expose-Headers", "WWW-Authenticate, Retry-After")
	token, e := bearerOf(r)
	if e != nil {
		return e
	}
	body, e := metadataBody(r)
	if e != nil {
		return e
	}
	made, err := h.config.Registrar.Register(r.Context(), RegistrationRequest{Token: token, Body: body, Source: h.addressOf(r).String()})
	if err != nil {
		return storeFailed(err)
	}
	w.WriteHeader(http.StatusCreated) // held back until the headers are set
	return answerJSON(w, made)
}

func (h *Handlers) registration(w http.ResponseWriter, r *http.Request) *engine.Error {
	w.Header().Set("Access-Control-Expose-Headers", "WWW-Authenticate, Retry-After")
	id := lastElement(r.URL.Path)
	exchangeOf(r.Context()).clientID = clipped(id, maxClientID)
	token, e := bearerOf(r)
	if e != nil {
		return e
	}
	var told map[string]any
	var err error
	switch r.Method {
	case http.MethodDelete:
		if err = h.config.Registrar.Remove(r.Context(), id, token); err == nil {
			w.WriteHeader(http.StatusNoContent)
			return nil
		}
	case http.MethodPut:
		body, e := metadataBody(r)
		if e != nil {
			return e
		}
		told, err = h.config.Registrar.Replace(r.Context(), id, token, body)
	default:
		told, err = h.config.Registrar.Read(r.Context(), id, token)
	}
	if err != nil {
		return storeFailed(err)
	}
	return answerJSON(w, told)
}

// bearerOf returns the token of the Authorization header, "" when there is none.
// RFC 6750 §2.1
func bearerOf(r *http.Request) (storage.Secret, *engine.Error) {
	list := r.Header.Values("Authorization")
	if len(list) == 0 {
		return "", nil
	}
	scheme, token, _ := strings.Cut(list[0], " ")
	if len(list) > 1 || !strings.EqualFold(scheme, "Bearer") || token == "" {
		return "", badRequest("authorization_scheme", fmt.Sprintf("The token of a registration is sent as Authorization: Bearer, once; the scheme was %s.", safeWord(scheme)))
	}
	return storage.Secret(strings.TrimSpace(token)), nil
}

// metadataBody reads the JSON of a client. RFC 7591 §3.1
func metadataBody(r *http.Request) ([]byte, *engine.Error) {
	types := r.Header.Values("Content-Type")
	media := ""
	if len(types) == 1 {
		media, _, _ = mime.ParseMediaType(types[0])
	}
	if media != "application/json" {
		return nil, &engine.Error{
			Code: "invalid_request", Reason: "registration_content_type", Status: http.StatusUnsupportedMediaType,
			Description: fmt.Sprintf("The body must be application/json; Content-Type was '%s'.", safeWord(strings.Join(types, ", "))),
		}
	}
	body, e := readBody(r)
	if e == nil && len(body) > maxRegistration {
		return nil, &engine.Error{
			Code: "invalid_client_metadata", Reason: "registration_too_large", Status: http.StatusRequestEntityTooLarge,
			Description: fmt.Sprintf("The metadata have %d bytes: at most %d are accepted.", len(body), maxRegistration),
		}
	}
	return body, e
}
