// The MCP SDK's client connects to a server that it knows by the URL alone, once with a
// metadata document and once by registration. The input is JSON on standard input.

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";

import { UnauthorizedError } from "@modelcontextprotocol/sdk/client/auth.js";
import { Client } from "@modelcontextprotocol/sdk/client/index.js";
import { StreamableHTTPClientTransport } from "@modelcontextprotocol/sdk/client/streamableHttp.js";

import { Browser } from "./browser.mjs";

const input = JSON.parse(readFileSync(0, "utf8"));
const callback = "http://localhost:53122/callback";

// Memory keeps what a client has to remember, and where it sent the person.
class Memory {
  constructor(document) {
    this.clientMetadataUrl = document;
  }

  get redirectUrl() {
    return callback;
  }

  get clientMetadata() {
    return { client_name: "SDK", redirect_uris: [callback], grant_types: ["authorization_code", "refresh_token"], response_types: ["code"], token_endpoint_auth_method: "none" };
  }

  clientInformation() {
    return this.client;
  }

  saveClientInformation(client) {
    this.client = client;
  }

  tokens() {
    return this.saved;
  }

  saveTokens(tokens) {
    this.saved = tokens;
  }

  redirectToAuthorization(url) {
    this.sent = url;
  }

  saveCodeVerifier(verifier) {
    this.verifier = verifier;
  }

  codeVerifier() {
    return this.verifier;
  }
}

const ways = { "a metadata document": input.document, registration: undefined };

async function connect(memory) {
  const transport = new StreamableHTTPClientTransport(new URL(input.mcp), { authProvider: memory });
  const client = new Client({ name: "sdk", version: "1" });
  return { transport, client, done: client.connect(transport) };
}

for (const [how, document] of Object.entries(ways)) {
  for (const decision of ["deny", "allow"]) {
    test(`the MCP SDK connects by ${how}, and the person answers ${decision}`, async () => {
      const memory = new Memory(document);
      const first = await connect(memory);
      await assert.rejects(first.done, UnauthorizedError);
      assert.equal(memory.sent.searchParams.get("resource"), input.mcp);
      assert.equal(memory.client.client_id === document, document !== undefined);

      const told = await new Browser(input.issuer, input.people).callback(memory.sent, "alice", decision);
      assert.equal(told.searchParams.get("iss"), input.issuer);
      if (decision === "deny") {
        assert.equal(told.searchParams.get("error"), "access_denied");
        return;
      }
      await first.transport.finishAuth(told.searchParams.get("code"));
      assert.ok(memory.saved.access_token);

      const { client, done } = await connect(memory);
      await done;
      const result = await client.callTool({ name: "read_notes", arguments: {} });
      assert.equal(result.content[0].text, "alice has no notes yet");
      await client.close();
    });
  }
}
