// The page stands at the interaction's own URL, which answers in JSON to who asks so.
async function ask(to, options = {}) {
  const headers = { Accept: "application/json", "Content-Type": "application/json" };
  const answer = await (await fetch(to, { ...options, headers })).json();
  if (answer.redirect_to) location.assign(answer.redirect_to); // to the next step, or back to the client
  return answer;
}

const form = document.querySelector("form");
const problem = document.querySelector("#problem");

const interaction = await ask(location.href);
if (interaction.client) document.querySelector("#client").textContent = interaction.client.name;
form.elements.name.value ||= interaction.login_hint ?? "";

form.addEventListener("submit", async (event) => {
  event.preventDefault();
  const body = JSON.stringify(Object.fromEntries(new FormData(form)));
  const answer = await ask(interaction.action, { method: "POST", body });
  problem.textContent = answer.message ?? answer.error_description ?? "";
  problem.hidden = problem.textContent === "";
});
document.documentElement.dataset.ready = "yes";
