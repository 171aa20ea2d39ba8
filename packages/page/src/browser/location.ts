import { formatState, type PageState, parseState } from './page-state.js';

type Listener = (state: PageState, before: PageState) => void;

// The token has been stored in a cookie; without it, the address can safely be shown and copied.
if (location.search !== '') history.replaceState(null, '', `${location.pathname}${location.hash}`);

let state = parseState(location.hash);
const listeners = new Set<Listener>();

export function pageState(): PageState {
  return state;
}

/** Calls `listener` after every change of the state, including Back and Forward. */
export function onState(listener: Listener): void {
  listeners.add(listener);
}

/** Changes the state and the address. `push` adds a history entry. */
export function setState(change: Partial<PageState>, { push = false } = {}): void {
  const before = state;
  const next = { ...state, ...change };
  const [hashBefore, hash] = [formatState(before), formatState(next)];
  if (hash === hashBefore) return;
  state = next;
  if (push) history.pushState(null, '', hash);
  else history.replaceState(null, '', hash);
  for (const listener of listeners) listener(state, before);
}

/** Returns the address of the page in another state. */
export function linkTo(change: Partial<PageState>): string {
  return `${location.origin}${location.pathname}${formatState({ ...state, ...change })}`;
}

// `popstate` also fires when the user edits the address.
window.addEventListener('popstate', () => {
  const before = state;
  state = parseState(location.hash);
  if (formatState(before) !== formatState(state)) for (const listener of listeners) listener(state, before);
});
