// All that a page needs to know of OAuth: code and PKCE (RFC 7636), tokens that are bound to
// a key (DPoP, RFC 9449), refresh, and sign-out. It has no dependencies.

const text = new TextEncoder()

function base64url(bytes) {
  return btoa(String.fromCharCode(...new Uint8Array(bytes))).replaceAll("+", "-").replaceAll("/", "_").replaceAll("=", "")
}

const random = () => base64url(crypto.getRandomValues(new Uint8Array(32)))
const sha256 = async (s) => base64url(await crypto.subtle.digest("SHA-256", text.encode(s)))
const encode = (value) => base64url(text.encode(JSON.stringify(value)))

// OAuthError is what the server answered, for a page to show.
export class OAuthError extends Error {
  constructor(answer) {
    super(answer.error_description || answer.error)
    this.code = answer.error
    this.link = answer.error_uri
  }
}

// Key is a key pair that can be used and never be read, not even by this page. It is kept
// in the browser, so that a reload finds it again.
class Key {
  static async load(name) {
    const database = await new Promise((resolve, reject) => {
      const opening = indexedDB.open(name, 1)
      opening.onupgradeneeded = () => opening.result.createObjectStore("keys")
      opening.onsuccess = () => resolve(opening.result)
      opening.onerror = () => reject(opening.error)
    })
    const ask = (mode, run) => new Promise((resolve, reject) => {
      const asking = run(database.transaction("keys", mode).objectStore("keys"))
      asking.onsuccess = () => resolve(asking.result)
      asking.onerror = () => reject(asking.error)
    })
    let pair = await ask("readonly", (keys) => keys.get("dpop"))
    if (!pair) {
      pair = await crypto.subtle.generateKey({ name: "ECDSA", namedCurve: "P-256" }, false, ["sign"])
      await ask("readwrite", (keys) => keys.put(pair, "dpop"))
    }
    const { crv, kty, x, y } = await crypto.subtle.exportKey("jwk", pair.publicKey)
    const key = new Key()
    key.private = pair.privateKey
    key.jwk = { crv, kty, x, y }
    key.thumbprint = await sha256(JSON.stringify(key.jwk)) // RFC 7638: these members, in this order
    return key
  }

  // proof says that whoever sends this request has the key. RFC 9449 §4.2
  async proof(method, url, { token, nonce } = {}) {
    const claims = { jti: random(), htm: method, htu: url, iat: Math.floor(Date.now() / 1000) }
    if (token) claims.ath = await sha256(token)
    if (nonce) claims.nonce = nonce
    const input = encode({ typ: "dpop+jwt", alg: "ES256", jwk: this.jwk }) + "." + encode(claims)
    const signature = await crypto.subtle.sign({ name: "ECDSA", hash: "SHA-256" }, this.private, text.encode(input))
    return input + "." + base64url(signature)
  }
}

// Client signs a person in to one page. What it has to remember while the browser is
// elsewhere, or over a reload, lies in the session storage of the tab; the access token
// is kept in memory.
export class Client {
  #nonce = ""
  #refreshing = null

  static async open({ issuer, clientID, redirectURI, scope }) {
    const client = new Client()
    Object.assign(client, { issuer, clientID, redirectURI, scope })
    const answer = await fetch(issuer + "/.well-known/openid-configuration")
    client.server = await answer.json()
    if (client.server.issuer !== issuer) throw new Error("The server is not the one that this page trusts.")
    client.key = await Key.load("oauth " + clientID)
    return client
  }

  get signedIn() { return sessionStorage.getItem("refresh_token") !== null }

  // signIn leaves the page. dpop_jkt binds the code to the key, so that it is of no use to
  // who finds it in a log.
  async signIn() {
    const state = random(), verifier = random()
    sessionStorage.setItem("pending", JSON.stringify({ state, verifier }))
    location.assign(this.server.authorization_endpoint + "?" + new URLSearchParams({
      response_type: "code", client_id: this.clientID, redirect_uri: this.redirectURI, scope: this.scope, state,
      code_challenge: await sha256(verifier), code_challenge_method: "S256", dpop_jkt: this.key.thumbprint,
    }))
  }

  // finish takes the answer out of the address, if there is one, and redeems the code.
  async finish() {
    const answer = new URLSearchParams(location.search)
    if (!answer.has("state")) return
    history.replaceState(null, "", location.pathname)
    const pending = JSON.parse(sessionStorage.getItem("pending") ?? "null")
    sessionStorage.removeItem("pending")
    if (!pending || answer.get("state") !== pending.state) return // signed out, or not asked for
    if (answer.get("iss") !== this.issuer) throw new Error("Another server answered.")
    if (answer.has("error")) throw new OAuthError(Object.fromEntries(answer))
    await this.#token({ grant_type: "authorization_code", code: answer.get("code"), redirect_uri: this.redirectURI, code_verifier: pending.verifier })
  }

  // refresh gets a new access token. Who calls it twice at the same time gets one.
  refresh() {
    this.#refreshing ??= this.#token({ grant_type: "refresh_token", refresh_token: sessionStorage.getItem("refresh_token") })
      .catch((error) => {
        if (error.code === "invalid_grant") this.forget() // the person has to sign in again
        throw error
      })
      .finally(() => { this.#refreshing = null })
    return this.#refreshing
  }

  async #token(form) {
    const answer = await this.#send(this.server.token_endpoint, { method: "POST", body: new URLSearchParams({ ...form, client_id: this.clientID }) })
    const body = await answer.json()
    if (!answer.ok) throw new OAuthError(body)
    this.accessToken = body.access_token
    this.expiresAt = Date.now() + body.expires_in * 1000
    if (body.refresh_token) sessionStorage.setItem("refresh_token", body.refresh_token) // absent: the old one stays good
    if (body.id_token) sessionStorage.setItem("id_token", body.id_token)
  }

  // fetch is the browser's, with the access token, which is refreshed when it has to be.
  async fetch(url, options = {}) {
    if (!this.accessToken || Date.now() > this.expiresAt - 10000) await this.refresh()
    let answer = await this.#send(url, options, this.accessToken)
    if (answer.status === 401) {
      await this.refresh()
      answer = await this.#send(url, options, this.accessToken)
    }
    return answer
  }

  // #send proves the key with a request, once more when the server wants a nonce in the
  // proof. RFC 9449 §8
  async #send(url, options, token) {
    for (let again = false; ; again = true) {
      const method = options.method ?? "GET"
      const headers = new Headers(options.headers)
      headers.set("DPoP", await this.key.proof(method, url.split(/[?#]/)[0], { token, nonce: this.#nonce }))
      if (token) headers.set("Authorization", "DPoP " + token)
      const answer = await fetch(url, { ...options, headers })
      const nonce = answer.headers.get("DPoP-Nonce")
      const fresh = nonce && nonce !== this.#nonce
      if (nonce) this.#nonce = nonce
      if (again || !fresh || (answer.status !== 400 && answer.status !== 401)) return answer
    }
  }

  forget() {
    this.accessToken = undefined
    for (const name of ["refresh_token", "id_token"]) sessionStorage.removeItem(name)
  }

  // signOut leaves the page: the server ends the session and the grant, and comes back.
  signOut() {
    const hint = sessionStorage.getItem("id_token")
    this.forget()
    location.assign(this.server.end_session_endpoint + "?" + new URLSearchParams({
      id_token_hint: hint, client_id: this.clientID, post_logout_redirect_uri: this.redirectURI, state: random(),
    }))
  }
}
