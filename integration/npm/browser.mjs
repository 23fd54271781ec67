// A browser as far as signing in needs one: cookies, forms, redirects.

export class Browser {
  #cookies = new Map();

  // fetched is how it reaches the provider.
  constructor(issuer, people, fetched = fetch) {
    this.issuer = issuer;
    this.people = people;
    this.fetch = fetched;
  }

  // open goes to an address and wherever the provider leads, until it shows a page or
  // leaves for somebody else. The latter is { left: URL }.
  async open(address, init = {}) {
    let url = new URL(address);
    for (let n = 0; n < 10; n++) {
      const response = await this.fetch(url, {
        ...init,
        redirect: "manual",
        headers: { ...init.headers, cookie: [...this.#cookies].map(([k, v]) => `${k}=${v}`).join("; ") },
      });
      this.#keep(response);
      const to = response.headers.get("location");
      if (to === null) {
        return { status: response.status, url, html: await response.text() };
      }
      await response.arrayBuffer();
      url = new URL(to, url);
      if (url.origin !== new URL(this.issuer).origin) {
        return { left: url };
      }
      init = {};
    }
    throw new Error("the redirects do not end");
  }

  #keep(response) {
    for (const line of response.headers.getSetCookie()) {
      const [pair, ...attributes] = line.split(";");
      const [name, value] = [pair.slice(0, pair.indexOf("=")), pair.slice(pair.indexOf("=") + 1)];
      if (attributes.some((a) => /^\s*max-age=(0|-)/i.test(a))) {
        this.#cookies.delete(name);
      } else {
        this.#cookies.set(name, value);
      }
    }
  }

  // submit sends the first form of a page that has a control of this name.
  async submit(page, control, fields) {
    const form = forms(page.html).find((f) => f.names.includes(control));
    if (form === undefined) {
      throw new Error(`${page.status} ${page.url}: no form has ${control}:\n${page.html}`);
    }
    return this.open(new URL(form.action, page.url), {
      method: "POST",
      body: new URLSearchParams({ ...form.hidden, ...fields }).toString(),
      headers: { "content-type": "application/x-www-form-urlencoded", origin: page.url.origin, "sec-fetch-site": "same-origin" },
    });
  }

  // signIn goes to an address as somebody, through login and consent where they are
  // asked for, and returns where it ends.
  async signIn(address, name = "alice", decision = "allow") {
    let page = await this.open(address);
    if (page.html?.includes('name="username"')) {
      page = await this.submit(page, "username", { username: name, password: this.people[name] });
    }
    if (page.html?.includes('name="decision"')) {
      page = await this.submit(page, "decision", { decision });
    }
    return page;
  }

  // callback is signIn that ends at the client.
  async callback(address, name, decision) {
    const end = await this.signIn(address, name, decision);
    if (end.left === undefined) {
      throw new Error(`${end.status} ${end.url}: the browser did not come back:\n${end.html}`);
    }
    return end.left;
  }
}

// forms reads the forms of a page of ours.
export function forms(html) {
  return [...html.matchAll(/<form\b([^>]*)>(.*?)<\/form>/gs)].map(([, head, body]) => {
    const controls = [...body.matchAll(/<(input|button)\b([^>]*)>/gs)].map(([, tag, text]) => ({
      tag,
      name: attribute(text, "name"),
      value: attribute(text, "value"),
      hidden: attribute(text, "type") === "hidden",
    }));
    return {
      action: attribute(head, "action"),
      names: controls.map((c) => c.name),
      hidden: Object.fromEntries(controls.filter((c) => c.hidden).map((c) => [c.name, c.value])),
    };
  });
}

function attribute(text, name) {
  const found = text.match(new RegExp(`\\b${name}="([^"]*)"`));
  return found === null
    ? ""
    : found[1].replace(/&#(\d+);/g, (_, n) => String.fromCharCode(n)).replaceAll("&#34;", '"').replaceAll("&lt;", "<").replaceAll("&gt;", ">").replaceAll("&amp;", "&");
}
