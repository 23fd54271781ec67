package engine

import "slices"

// Reason is one row of the table from which the page of errors is made.
type Reason struct {
	Anchor string // Error.Reason, or an error code that stands for all its reasons
	Code   string // Error.Code
	What   string // what happened
	Change string // what to change
}

// Reasons explains every refusal of the engine: first the codes that a client sees
// where the reason is for the log alone, then each reason.
func Reasons() []Reason {
	return slices.Concat(reasonsOfRequests(), reasonsOfClients())
}

const (
	adviceAgain = "Send the person through the authorization endpoint again."
	adviceLog   = "The operator finds the cause in the log, under the request id."
)

// reasonsOfRequests are those that the request itself shows.
func reasonsOfRequests() []Reason {
	return []Reason{
		{codeInvalidClient, codeInvalidClient, "The client could not prove who it is.", "Compare client_id, secret and method with the registration; the server's log says which of them failed."},
		{codeInvalidGrant, codeInvalidGrant, "The code or refresh token is good for nothing (any more).", adviceAgain + " The server's log says why."},
		{codeInvalidToken, codeInvalidToken, "The access token is unknown, has ended or was revoked.", "Refresh it, or sign in again."},

		{"parameter_missing", codeInvalidRequest, "A required parameter is missing.", "Send the parameter that the description names."},
		{"parameter_repeated", codeInvalidRequest, "A parameter came more than once.", "Send it once; only resource may be repeated."},
		{"parameter_malformed", codeInvalidRequest, "A parameter is not valid UTF-8.", "Encode the form as UTF-8."},
		{"request_malformed", codeInvalidRequest, "The request breaks a rule that the description names.", "Follow the description."},
		{"request_not_supported", "request_not_supported", "Request objects are not supported.", "Send the parameters themselves."},
		{"request_uri_not_supported", "request_uri_not_supported", "The parameter request_uri is not supported.", "Send the parameters themselves."},
		{"registration_not_supported", "registration_not_supported", "The parameter registration is not supported.", "Register the client first."},

		{"redirect_uri_mismatch", codeInvalidRequest, "The redirect_uri is not a registered one, or not the one of the authorize request.", "Register the URI exactly as it is sent; the server's log shows the closest one."},
		{"redirect_uri_missing", codeInvalidGrant, "The token request lacks the redirect_uri of the authorize request.", "Send it again, or use PKCE."},
		{"response_mode_unsupported", codeInvalidRequest, "The response_mode can not be used here.", "Use query, or form_post with an https redirect_uri."},
		{"response_type_unsupported", codeUnsupportedType, "Only the authorization code flow is supported.", "Send response_type=code."},
		{"prompt_unknown", codeInvalidRequest, "The prompt has an unknown value.", "Use none, login, consent or select_account."},
		{"prompt_contradictory", codeInvalidRequest, "The prompt none stands beside others.", "Send it alone."},
		{"max_age_malformed", codeInvalidRequest, "max_age is not a number of seconds.", "Send digits only."},
		{"id_token_hint_invalid", codeInvalidRequest, "The id_token_hint is no ID token that this server gave to this client.", "Send the last ID token that the client received, or none."},

		{"pkce_required", codeInvalidRequest, "The request has no code_challenge.", "Use PKCE with S256. A confidential client that can not may be exempted with insecure.skip_pkce."},
		{"pkce_method_unsupported", codeInvalidRequest, "The code_challenge_method is not S256.", "Send code_challenge_method=S256."},
		{"pkce_challenge_malformed", codeInvalidRequest, "The code_challenge is no SHA-256.", "Send base64url(SHA-256(code_verifier)) without padding."},
		{"pkce_missing", codeInvalidGrant, "The code_verifier is missing.", "Send the verifier whose challenge the authorize request had."},
		{"pkce_mismatch", codeInvalidGrant, "The code_verifier is not the one of the challenge.", "Keep the verifier of each request apart; five wrong ones end the code."},
		{"pkce_unexpected", codeInvalidGrant, "A code_verifier came, but there was no code_challenge.", "Send the code_challenge with the authorize request."},

		{"scope_missing", codeInvalidScope, "No scope was asked for, and the client has no default.", "Send scope, or give the client a default_scope."},
		{"scope_malformed", codeInvalidScope, "A scope has characters that no scope has.", "Separate scopes by single spaces."},
		{"scope_unknown", codeInvalidScope, "The server does not know the scope.", "Add it to Config.Scopes, or do not ask for it."},
		{"scope_not_allowed", codeInvalidScope, "The client is not registered for the scope.", "Add it to the client's scope, or do not ask for it."},
		{"scope_not_granted", codeInvalidScope, "The scope was not granted, so a refresh can not add it.", adviceAgain},
		{"scope_needs_person", codeInvalidScope, "openid and offline_access are about a person.", "Leave them out with client_credentials."},
		{"resource_malformed", codeInvalidTarget, "The resource is not an absolute URI without a fragment.", "Send the URL of the API."},
		{"resource_not_allowed", codeInvalidTarget, "The client may not have tokens for the resource.", "Add it to the client's audiences; the server's log shows the nearest one."},
	}
}

// reasonsOfClients are those that depend on who asks and on what became of a grant.
func reasonsOfClients() []Reason {
	return []Reason{
		{"client_id_missing", codeInvalidClient, "The request names no client.", "Send client credentials, or client_id for a public client."},
		{"client_unknown", codeInvalidClient, "There is no such client.", "Register it, or correct the client_id."},
		{"client_disabled", codeInvalidClient, "The client is disabled.", "Enable it, if it may come back."},
		{"client_public", codeInvalidClient, "A client without a secret may not do this.", "Register a confidential client."},
		{"client_replaced", codeInvalidGrant, "The client was removed and made anew since.", adviceAgain},
		{"client_secret_missing", codeInvalidClient, "A confidential client came without its secret.", "Send the secret by HTTP Basic, or as client_secret."},
		{"client_secret_unexpected", codeInvalidClient, "A public client came with a secret.", "Send client_id alone, or register the client with a secret."},
		{"client_secret_wrong", codeInvalidClient, "The secret is wrong or has ended.", "Rotate the client's secret and configure the new one."},
		{"client_method_wrong", codeInvalidClient, "The client used another method than it is registered for.", "Use that one, or change token_endpoint_auth_method."},
		{"client_method_unknown", codeInvalidClient, "The method of client authentication is not supported.", "Use client_secret_basic, client_secret_post or none."},
		{"grant_type_unknown", codeUnsupportedGrant, "The server does not know the grant_type.", "Use one that the metadata lists."},
		{"grant_type_not_allowed", codeUnauthorized, "The client is not registered for the grant type.", "Add it to the client's grant_types."},

		{"code_unknown", codeInvalidGrant, "There is no such code.", adviceAgain},
		{"code_expired", codeInvalidGrant, "The code was not redeemed in time.", adviceAgain + " Redeem the code at once."},
		{"code_used", codeInvalidGrant, "The code was redeemed before. When both came in good order the grant was revoked.", "Redeem each code once; look for a double submit or a thief."},
		{"code_killed", codeInvalidGrant, "Too many wrong verifiers came for the code.", adviceAgain},
		{"code_other_client", codeInvalidGrant, "The code was issued to another client.", "Look for mixed up client_ids."},
		{"refresh_unknown", codeInvalidGrant, "It is no refresh token of this server.", adviceAgain},
		{"refresh_expired", codeInvalidGrant, "The refresh token reached its absolute end.", adviceAgain},
		{"refresh_idle", codeInvalidGrant, "The refresh token was not used for too long.", adviceAgain},
		{"refresh_used", codeInvalidGrant, "The refresh token was used a moment ago. Nothing was revoked.", "Use the newest refresh token."},
		{"refresh_repeats", codeInvalidGrant, "The same refresh token was used too often in short time. Nothing was revoked.", "Use the newest refresh token."},
		{reuseReason, codeInvalidGrant, "An old refresh token came back, so the grant was revoked.", adviceAgain + " One of two holders may be a thief."},
		{"refresh_other_client", codeInvalidGrant, "The refresh token was issued to another client.", "Look for mixed up client_ids."},

		{"grant_revoked", codeInvalidGrant, "The grant was revoked.", adviceAgain},
		{"grant_ended", codeInvalidToken, "The grant of the access token has ended.", adviceAgain},
		{"grant_not_allowed", codeInvalidGrant, "The client lost all scopes or resources that were granted.", adviceAgain},
		{"subject_revoked", codeInvalidGrant, "Everything of the person was revoked.", adviceAgain},
		{"app_revoked", codeInvalidGrant, "The person withdrew what they allowed the client.", adviceAgain},
		{"session_ended", codeInvalidGrant, "The session ended, and the grant has no offline_access.", adviceAgain},
		{"denied", codeInvalidGrant, "The Claims hook refused.", "Ask the operator; the log has the hook's reason."},
		{"token_unknown", codeInvalidToken, "There is no such access token any more.", "Refresh it, or sign in again."},
		{"openid_missing", codeInsufficientScope, "Userinfo needs a token with the scope openid.", "Ask for openid at the authorization endpoint."},

		{"store_unavailable", codeUnavailable, "The store can not be read or written.", "Try again shortly."},
		{"deadline", codeUnavailable, "The request took too long.", "Try again."},
		{"claims_failed", codeServerError, "The Claims hook failed.", adviceLog},
		{"grant_failed", codeServerError, "The hook of a further grant type failed.", adviceLog},
		{"approval_invalid", codeServerError, "A hook approved what nobody may.", adviceLog},
		{"id_token_failed", codeServerError, "The ID token could not be signed.", adviceLog},
		{"panic", codeServerError, "A part of the server or a hook panicked.", adviceLog},
		{"internal", codeServerError, "Something in the server failed.", adviceLog},
	}
}
