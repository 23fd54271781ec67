// What the scripts have in common: the provider that standard input describes, and its
// clients as openid-client knows them.

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { request } from "node:https";
import * as client from "openid-client";
import { Browser } from "./browser.mjs";

export const world = JSON.parse(readFileSync(0, "utf8"));
export const server = new URL(world.issuer);
export const scope = "openid profile email offline_access";

// over is fetch over TLS that shows a certificate, none when it is undefined, to whoever
// asks for one.
export const over = (certificate) => (address, init = {}) =>
  new Promise((resolve, reject) => {
    const options = { method: init.method, headers: Object.fromEntries(new Headers(init.headers)), ca: world.ca, agent: false, ...certificate };
    const sent = request(address, options, async (answer) => {
      try {
        const parts = [];
        for await (const part of answer) {
          parts.push(part);
        }
        const headers = new Headers();
        for (let i = 0; i < answer.rawHeaders.length; i += 2) {
          headers.append(answer.rawHeaders[i], answer.rawHeaders[i + 1]);
        }
        resolve(new Response(parts.length > 0 ? Buffer.concat(parts) : null, { status: answer.statusCode, headers }));
      } catch (e) {
        reject(e);
      }
    });
    sent.on("error", reject);
    sent.end(init.body?.toString());
  });

// options are those of discovery. On loopback there is no TLS; where there is, the test's
// own authority is trusted.
export const options = (certificate) =>
  world.ca === undefined ? { execute: [client.allowInsecureRequests] } : { [client.customFetch]: over(certificate) };

export const browser = () => new Browser(world.issuer, world.people, world.ca === undefined ? fetch : over());

// secretive is the configuration of a client with a secret.
export const secretive = (id, auth = client.ClientSecretBasic, metadata = {}) =>
  client.discovery(server, id, metadata, auth(world.clients[id].secret), options());

// anybody is the configuration of a public client.
export const anybody = (id) => client.discovery(server, id, {}, client.None(), options());

// The names that WebCrypto has for the algorithms.
const algorithms = {
  RS256: { name: "RSASSA-PKCS1-v1_5", hash: "SHA-256" },
  PS256: { name: "RSA-PSS", hash: "SHA-256" },
  ES256: { name: "ECDSA", namedCurve: "P-256" },
  EdDSA: { name: "Ed25519" },
};

export async function keyOf(id) {
  const { key, alg } = world.clients[id];
  return { key: await crypto.subtle.importKey("pkcs8", Buffer.from(key, "base64"), algorithms[alg], false, ["sign"]), kid: "one" };
}

// signing is the configuration of a client with a key.
export const signing = async (id, metadata = {}) => client.discovery(server, id, metadata, client.PrivateKeyJwt(await keyOf(id)), options());

// everySigned is one that wants every word of the provider signed, and verifies it.
export async function everySigned(id) {
  const config = await signing(id, {
    userinfo_signed_response_alg: "ES256",
    introspection_signed_response_alg: "ES256",
    authorization_signed_response_alg: "ES256",
    id_token_signed_response_alg: "ES256",
  });
  client.useJwtResponseMode(config);
  client.enableNonRepudiationChecks(config); // verifies every signature, also where TLS would do
  return config;
}

// begin makes what one sign-in needs.
export async function begin(id, more = {}) {
  const pkceCodeVerifier = client.randomPKCECodeVerifier();
  const checks = { pkceCodeVerifier, expectedState: client.randomState(), expectedNonce: client.randomNonce(), idTokenExpected: true };
  const parameters = {
    redirect_uri: `https://${id}.test/cb`,
    scope,
    code_challenge: await client.calculatePKCECodeChallenge(pkceCodeVerifier),
    code_challenge_method: "S256",
    state: checks.expectedState,
    nonce: checks.expectedNonce,
    ...more,
  };
  return { parameters, checks };
}

export const refuses = (promise, error) =>
  assert.rejects(promise, (e) => {
    assert.equal(e.error, error, `${e}: ${e.cause}`);
    return true;
  });

// told is what the API of the default audience learns of a token.
export async function told(token) {
  return client.tokenIntrospection(await secretive("https://api.test"), token);
}
