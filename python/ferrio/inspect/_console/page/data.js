/** Asks the console's server: the session, the stream of events, and what a view shows. */

/** Why an answer could not be had. */
export class Refused extends Error {}

/**
 * Trades the token in the address for a cookie, and takes it out of the address.
 * Without a token the cookie of an earlier visit counts.
 */
export async function enter() {
  const token = /^#[\w-]{32}$/.test(location.hash) ? location.hash.slice(1) : null;
  if (token === null) return;
  history.replaceState(null, "", `${location.pathname}#overview`);
  const answer = await fetch("/session", { method: "POST", body: token });
  if (!answer.ok) throw new Refused((await answer.json()).error);
}

/** The data of a view. */
export async function ask(view, query = {}, signal = undefined) {
  const answer = await fetch(`/data/${view}?${new URLSearchParams(query)}`, { signal });
  const found = await answer.json();
  if (!answer.ok) throw new Refused(found.error);
  return found;
}

/**
 * Listens to what is new. The browser connects again by itself, unless the server says no.
 * @param {(status: object) => void} look called with each status
 * @param {(connected: boolean) => void} lost called when the connection is lost for a while, or for good
 */
export function listen(look, lost) {
  const source = new EventSource("/events");
  source.addEventListener("look", (event) => look(JSON.parse(event.data)));
  source.addEventListener("error", () => lost(source.readyState === EventSource.CONNECTING));
  return source;
}
