import { Client } from "/oauth.js"

const at = (id) => document.getElementById(id)
const { issuer, clientId: clientID } = document.documentElement.dataset

function say(words) { at("status").textContent = words }

function show(client) {
  at("stranger").hidden = client.signedIn
  at("person").hidden = !client.signedIn
  at("key").textContent = client.key.thumbprint
  at("expiry").textContent = client.expiresAt ? "good until " + new Date(client.expiresAt).toLocaleTimeString() : "none yet"
}

async function ask(client) {
  const answer = await client.fetch(client.server.userinfo_endpoint)
  if (!answer.ok) throw new Error("The server answered " + answer.status + ".")
  const person = await answer.json()
  at("who").textContent = person.name ?? person.sub
  say("You are signed in.")
}

async function start() {
  const client = await Client.open({ issuer, clientID, redirectURI: location.origin + "/", scope: "openid profile" })
  // attempt runs what a person asked for and tells how it went.
  const attempt = async (run) => {
    try {
      await run()
    } catch (error) {
      say(error.message)
    }
    show(client)
  }
  at("sign-in").onclick = () => attempt(() => client.signIn())
  at("ask").onclick = () => attempt(() => ask(client))
  at("refresh").onclick = () => attempt(async () => { await client.refresh(); say("The token is a new one.") })
  at("sign-out").onclick = () => attempt(() => client.signOut())
  await attempt(async () => {
    await client.finish()
    if (client.signedIn) await ask(client)
    else say("You are not signed in.")
  })
}

start().catch((error) => say("This page can't work here: " + error.message))
