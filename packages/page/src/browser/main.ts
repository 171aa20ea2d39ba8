import type { RunListItem } from '../api-types.js';
import { contact, fetchRuns, problemOf } from './api.js';
import { DetailsView } from './details/details-view.js';
import { byId, fill, h } from './dom.js';
import { Header } from './header.js';
import { Help } from './help.js';
import { onState, pageState, setState } from './location.js';
import { LogsView } from './logs/logs-view.js';
import { Overview } from './overview/overview.js';
import { RunData } from './overview/run-data.js';
import { RoutingView } from './routing/routing-view.js';
import { startTheme, toggleTheme } from './theme.js';
import { TimelineView } from './timeline/timeline-view.js';

const POLL_MS = 1_500;
/** The list of runs is fetched on every fourth poll. */
const LIST_EVERY = 4;

startTheme();
const help = new Help();
const header = new Header(() => help.toggle());
const [overview, logs] = [new Overview(), new LogsView()];
const [timeline, details, routing] = [new TimelineView(), new DetailsView(), new RoutingView()];
const views = { overview, logs, timeline, details, routing };
const empty = h.main({ class: 'no-run' });
fill(
  byId('page'),
  header.element,
  empty,
  ...Object.values(views).map(({ element }) => element),
  help.element,
);

const known = new Map<string, RunData>();
let list: readonly RunListItem[] = [];
let own: string | null = null;
let numPolls = 0;
let polling: Promise<void> | null = null;
let isPollQueued = false;

/** Returns the selected run, then its overlays; runs that no longer exist are left out. */
function selectedRuns(): RunData[] {
  const { run, overlays } = pageState();
  const current = run ?? own ?? list[0]?.runId;
  const ids = [current, ...overlays].filter((id) => list.some(({ runId }) => runId === id));
  return [...new Set(ids)].map((id = '') => {
    const data = known.get(id) ?? new RunData(id);
    known.set(id, data);
    return data;
  });
}

async function poll(): Promise<void> {
  const { run: wanted } = pageState();
  const isUnknown = wanted !== null && !list.some(({ runId }) => runId === wanted);
  if (numPolls++ % LIST_EVERY === 0 || isUnknown) ({ runs: list, own } = await fetchRuns());
  const runs = selectedRuns();
  const { layer, range, openLayers } = pageState();
  const [current] = runs;
  // A link to this page shows this run also when there is a newer one.
  if (current !== undefined && wanted === null) setState({ run: current.runId });
  header.setRuns(list, current?.runId ?? '');
  showViews(runs.length > 0);
  if (current === undefined) return;
  const changes = await Promise.all(
    runs.map((run, index) => run.refresh({ layer, range, openLayers, isPrimary: index === 0 })),
  );
  // If the selection has changed meanwhile, the next poll shows it.
  if (selectedRuns()[0] !== current) return;
  header.set(current);
  const { detail, startedAt } = current;
  if (detail !== null)
    logs.show(current.runId, { startedAt, end: detail.endedAt ?? Date.now(), isLive: detail.isLive });
  if (pageState().view === 'timeline') void timeline.show(current.runId, detail?.isLive !== false);
  if (pageState().view === 'routing')
    void routing.show(current.runId, detail?.isLive !== false, detail?.generation ?? 0);
  if (changes.includes(true) || shownIds !== idsOf(runs)) {
    overview.show(runs);
    details.show(runs);
  } else details.refresh();
  shownIds = idsOf(runs);
}

let shownIds = '';
const idsOf = (runs: readonly RunData[]) => runs.map(({ runId }) => runId).join(' ');

/** Polls now, or once more after the poll in progress. */
async function refresh(): Promise<void> {
  if (polling !== null) {
    isPollQueued = true;
    return;
  }
  polling = poll().then(
    () => header.setConnection(null),
    (error) => {
      // If the server is gone, the run's state says so; if the run is over, no update is missed.
      const isNews = contact.state === 'ok' && selectedRuns()[0]?.detail?.isLive !== false;
      header.setConnection(isNews ? problemOf(error) : null);
    },
  );
  await polling;
  polling = null;
  showContact();
  if (!isPollQueued) return;
  isPollQueued = false;
  await refresh();
}

let shownContact = contact.state;

/** Shows a change in whether the server answers. */
function showContact(): void {
  if (contact.state === shownContact) return;
  shownContact = contact.state;
  header.setConnection(null);
  const [current] = selectedRuns();
  if (current === undefined) return;
  header.set(current);
  overview.showStatus();
}

function showViews(hasRun: boolean): void {
  const { view, run } = pageState();
  header.showView();
  for (const [name, { element }] of Object.entries(views)) element.hidden = !hasRun || name !== view;
  empty.hidden = hasRun;
  if (hasRun) return;
  fill(empty, h.p(run === null ? 'No run here yet.' : `No run ${run} here.`, ' A training starts one.'));
}

/** Fields whose change requires new data at once. */
const REFRESHING = [
  ...(['run', 'overlays', 'range', 'layer', 'openLayers', 'view', 'step', 'generation'] as const),
];

onState((state, before) => {
  const hasRun = !empty.hidden ? false : list.length > 0;
  showViews(hasRun);
  if (state.view !== before.view) {
    scrollTo({ top: 0 });
    overview.draw();
    details.draw();
    if (state.view === 'timeline') timeline.focus();
  }
  if (REFRESHING.some((name) => state[name] !== before[name])) void refresh();
});

const show = (view: keyof typeof views) => setState({ view }, { push: true });

/** Keyboard shortcuts, disabled while an input has the focus. */
const KEYS: Readonly<Record<string, () => void>> = {
  '?': () => help.toggle(),
  '1': () => show('overview'),
  '2': () => show('logs'),
  '3': () => show('timeline'),
  '4': () => show('details'),
  '5': () => show('routing'),
  '0': () => setState({ range: null }),
  t: toggleTheme,
  r: () => header.toggleRuns(),
  '/': () => {
    show('logs');
    logs.focusQuery();
  },
  j: () => logs.move(1),
  k: () => logs.move(-1),
  l: () => {
    if (pageState().view === 'logs') logs.toggleLive();
  },
  p: () => logs.togglePause(),
};

document.addEventListener('keydown', (event) => {
  const { target, key, ctrlKey, metaKey, altKey } = event;
  const isTyping =
    target instanceof HTMLInputElement && target.type !== 'checkbox' && target.type !== 'range';
  if (isTyping || target instanceof HTMLSelectElement || ctrlKey || metaKey || altKey) return;
  const action = KEYS[key];
  if (action === undefined) return;
  event.preventDefault();
  action();
});

showViews(false);
fill(empty);
void refresh();
setInterval(() => {
  if (!document.hidden) void refresh();
  showContact();
}, POLL_MS);
document.addEventListener('visibilitychange', () => {
  if (!document.hidden) void refresh();
});
