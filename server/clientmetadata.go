package server

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"reflect"
	"slices"
	"strings"

	"github.com/doorward/doorward/internal/jws"
	"github.com/doorward/doorward/internal/redirect"
	"github.com/doorward/doorward/storage"
)

// clientMetadata are the members that a client may say of itself, as they are named in
// RFC 7591 §2 and in the registry that it founded. All others are the host's to set, or
// unknown, and are passed over. A further member is a row here and a check in judge.
var clientMetadata = []string{
	"redirect_uris", "application_type", "token_endpoint_auth_method", "token_endpoint_auth_signing_alg", "grant_types", "client_name", "client_uri", "logo_uri",
	"scope", "contacts", "tos_uri", "policy_uri", "jwks_uri", "jwks", "software_id", "software_version",
	"post_logout_redirect_uris", "backchannel_logout_uri", "backchannel_logout_session_required", "frontchannel_logout_uri", "frontchannel_logout_session_required",
	"subject_type", "sector_identifier_uri", "id_token_signed_response_alg", "userinfo_signed_response_alg",
	"authorization_signed_response_alg", "introspection_signed_response_alg", "request_object_signing_alg", "require_signed_request_object",
	"require_pushed_authorization_requests", "dpop_bound_access_tokens", "tls_client_certificate_bound_access_tokens",
	"tls_client_auth_subject_dn", "tls_client_auth_san_dns", "tls_client_auth_san_uri", "tls_client_auth_san_ip", "tls_client_auth_san_email",
}

// readMetadata reads a JSON object whose names are unique.
func readMetadata(body []byte, found *problems) map[string]json.RawMessage {
	members, err := jws.Members(body)
	if err != nil {
		found.add("the document", "no JSON object with unique names", "write one, as in {\"redirect_uris\": [\"https://app.example/callback\"]}")
	}
	return members
}

// clientOf makes a client of what it says of itself. Members that are null count as left
// out. RFC 7591 §2
func clientOf(members map[string]json.RawMessage, found *problems) *storage.Client {
	c := &storage.Client{}
	for _, name := range clientMetadata {
		raw, said := members[name]
		if !said || string(raw) == "null" {
			continue
		}
		one, err := json.Marshal(map[string]json.RawMessage{name: raw})
		if err == nil {
			err = json.Unmarshal(one, c)
		}
		if wrong := (*json.UnmarshalTypeError)(nil); errors.As(err, &wrong) {
			found.add(name, quoted(string(raw)), "write %s", kindOf(wrong))
		} else if err != nil {
			found.add(name, quoted(string(raw)), "write what RFC 7591 says of it")
		}
	}
	return c
}

func kindOf(wrong *json.UnmarshalTypeError) string {
	switch wrong.Type.Kind() {
	case reflect.Slice:
		return "a list of texts"
	case reflect.Bool:
		return "true or false"
	default:
		return "a text"
	}
}

// metadataOf is what is registered of a client, as it is told to it: with what it left to
// the server, so that its author sees what came of that. RFC 7591 §3.2.1
func (g *registrar) metadataOf(c *storage.Client) (map[string]any, error) {
	encoded, err := json.Marshal(c)
	if err != nil {
		return nil, fmt.Errorf("server: encode a client: %w", err)
	}
	all := map[string]json.RawMessage{}
	if err := json.Unmarshal(encoded, &all); err != nil {
		return nil, fmt.Errorf("server: encode a client: %w", err)
	}
	told := map[string]any{"client_id": c.ID}
	for _, name := range clientMetadata {
		if raw, said := all[name]; said {
			told[name] = raw
		}
	}
	told["grant_types"] = c.Grants()
	told["response_types"] = []string{}
	told["application_type"] = applicationOf(c)
	if c.MayUse(storage.GrantAuthorizationCode) {
		told["response_types"] = []string{"code"}
	}
	if slices.Contains(c.Scopes(), "openid") {
		told["subject_type"] = cmp.Or(c.SubjectType, storage.SubjectPublic)
		told["id_token_signed_response_alg"] = cmp.Or(c.IDTokenSignedResponseAlg, g.algorithms[0])
	}
	return told, nil
}

// applicationOf is where a client runs that may not have said so. OpenID Connect takes who
// says nothing for a web application; the programs on devices that were written for OAuth
// alone say nothing either, and their redirect URIs tell.
func applicationOf(c *storage.Client) storage.ApplicationType {
	switch {
	case c.ApplicationType != "":
		return c.ApplicationType
	case slices.ContainsFunc(c.RedirectURIs, func(uri string) bool { return redirect.KindOf(uri) != redirect.Web }):
		return storage.ApplicationNative
	}
	return storage.ApplicationWeb
}

// shape gives a client that nobody entered the defaults of RFC 7591 §2, and takes away
// what such clients may not have. What it may have instead it is told.
func (r *Registration) shape(c *storage.Client, members map[string]json.RawMessage, found *problems) {
	if c.TokenEndpointAuthMethod == "" {
		c.TokenEndpointAuthMethod = "client_secret_basic"
	}
	if len(c.GrantTypes) == 0 {
		c.GrantTypes = []string{storage.GrantAuthorizationCode}
	}
	asked := c.GrantTypes
	c.GrantTypes = slices.DeleteFunc(slices.Clone(asked), func(name string) bool { return !slices.Contains(r.GrantTypes, name) })
	slices.Sort(c.GrantTypes)
	c.GrantTypes = slices.Compact(c.GrantTypes)
	if len(c.GrantTypes) == 0 {
		found.add("grant_types", quoted(strings.Join(asked, " ")), "write some of %s", strings.Join(r.GrantTypes, ", "))
		c.GrantTypes = []string{storage.GrantAuthorizationCode} // so that nothing else is said of it
	}
	judgeResponseTypes(c, members["response_types"], found)
	if wanted := c.Scopes(); len(wanted) > 0 {
		kept := slices.DeleteFunc(slices.Clone(wanted), func(s string) bool { return !slices.Contains(r.Scopes, s) })
		if len(kept) == 0 {
			found.add("scope", quoted(c.Scope), "write some of %s", strings.Join(r.Scopes, " "))
		}
		c.Scope = strings.Join(kept, " ")
		c.DefaultScope = c.Scope
	} else {
		c.Scope, c.DefaultScope = strings.Join(r.Scopes, " "), strings.Join(r.DefaultScopes, " ")
	}
	c.Audiences = slices.Clone(r.Audiences)
}

// judgeResponseTypes wants the one response type there is. RFC 7591 §2.1
func judgeResponseTypes(c *storage.Client, raw json.RawMessage, found *problems) {
	if len(raw) == 0 || string(raw) == "null" {
		return
	}
	var types []string
	switch err := json.Unmarshal(raw, &types); {
	case err != nil:
		found.add("response_types", quoted(string(raw)), "write a list of texts")
	case c.MayUse(storage.GrantAuthorizationCode) && !slices.Contains(types, "code"):
		found.add("response_types", quoted(strings.Join(types, ", ")), `write "code", the only one there is here`)
	}
}

// withoutPorts returns the redirect URIs without the ports of loopback addresses, which
// are free: programs that take another port at each start stay one client. RFC 8252 §7.3
func withoutPorts(uris []string) []string {
	var out []string
	for _, uri := range uris {
		u, err := url.Parse(uri)
		if err == nil && u.Scheme == "http" && loopback(u.Hostname()) && u.Port() != "" {
			uri = strings.Replace(uri, "://"+u.Host, "://"+strings.TrimSuffix(u.Host, ":"+u.Port()), 1)
		}
		if !slices.Contains(out, uri) {
			out = append(out, uri)
		}
	}
	slices.Sort(out)
	return out
}

// replaced returns a client with what it may say of itself as now has it, and the rest as
// it was. RFC 7592 §2.2
func replaced(was, now *storage.Client) (*storage.Client, error) {
	members := [2]map[string]json.RawMessage{}
	for i, c := range []*storage.Client{was, now} {
		encoded, err := json.Marshal(c)
		if err == nil {
			err = json.Unmarshal(encoded, &members[i])
		}
		if err != nil {
			return nil, fmt.Errorf("server: encode a client: %w", err)
		}
	}
	for _, name := range clientMetadata {
		delete(members[0], name)
		if raw, said := members[1][name]; said {
			members[0][name] = raw
		}
	}
	c := &storage.Client{}
	encoded, err := json.Marshal(members[0])
	if err == nil {
		err = json.Unmarshal(encoded, c)
	}
	if err != nil {
		return nil, fmt.Errorf("server: encode a client: %w", err)
	}
	c.DefaultScope = now.DefaultScope
	return c, nil
}
