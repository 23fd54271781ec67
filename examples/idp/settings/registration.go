package settings

import (
	"slices"
	"strings"
	"time"

	"github.com/doorward/doorward/server"
)

// registration is what the file says of clients that nobody entered.
type registration struct {
	Endpoint         string   `json:"endpoint"`
	Documents        bool     `json:"documents"`
	DocumentHosts    []string `json:"document_hosts"`
	GrantTypes       []string `json:"grant_types"`
	Scopes           []string `json:"scopes"`
	DefaultScopes    []string `json:"default_scopes"`
	Audiences        []string `json:"audiences"`
	RequireStatement bool     `json:"require_statement"`
	Statements       []struct {
		Issuer   string `json:"issuer"`
		JWKSURI  string `json:"jwks_uri"`
		JWKSFile string `json:"jwks_file"`
	} `json:"statements"`
	Unused     duration `json:"unused"`
	Idle       duration `json:"idle"`
	PerAddress int      `json:"per_address"`
	InAll      int      `json:"in_all"`
}

// takeRegistration reads the rules for clients that nobody entered.
func (s *Settings) takeRegistration(f registration, beside func(string) string, found *Problems) {
	r := server.Registration{
		Endpoint: server.RegistrationAccess(f.Endpoint), Documents: f.Documents, GrantTypes: f.GrantTypes, Scopes: f.Scopes,
		DefaultScopes: f.DefaultScopes, Audiences: f.Audiences, RequireStatement: f.RequireStatement,
		Unused: time.Duration(f.Unused), Idle: time.Duration(f.Idle), PerAddress: f.PerAddress, InAll: f.InAll,
	}
	if f.Endpoint == "off" || f.Endpoint == "false" { // YAML reads off as a truth value
		r.Endpoint = server.RegistrationOff
	}
	if len(f.DocumentHosts) > 0 {
		hosts := slices.Clone(f.DocumentHosts)
		r.DocumentHost = func(host string) bool {
			return slices.ContainsFunc(hosts, func(h string) bool { return strings.EqualFold(h, host) })
		}
	}
	for i, one := range f.Statements {
		issuer := server.StatementIssuer{Issuer: one.Issuer, JWKSURI: one.JWKSURI}
		if one.JWKSFile != "" {
			name := index("registration.statements", i) + ".jwks_file"
			body, err := readBounded(beside(one.JWKSFile))
			if err != nil {
				found.addError(s.at.line(name), name, err, "write the path of a file with a JWK Set")
			}
			issuer.JWKS = body
		}
		r.Statements = append(r.Statements, issuer)
	}
	s.Registration = r
}
