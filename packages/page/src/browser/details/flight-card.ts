import type { FlightOperation, FlightRankRow, FlightReply } from '../../api-types.js';
import { commandLine } from '../command-line.js';
import { fill, h, scrollable } from '../dom.js';
import { DASH } from '../format.js';

const RANK_COLUMNS = ['', 'node', 'pid', 'state', 'step', 'doing', 'waits for', 'came last', 'late by'];
const OPERATION_COLUMNS = [
  'operation',
  'purpose',
  'step',
  'layer',
  'entered',
  'left',
  'missing',
  'came last',
  'took',
];

/** The flight record: what each rank did last when the run failed; hidden if there is none. */
export class FlightCard {
  readonly element = h('section', { class: 'card full flight', 'aria-label': 'Flight record' });

  /** @param command prints the same in a terminal, and more of it */
  set(flight: FlightReply, command: string): void {
    const { problem, generation, summary, reason, missingNodes, ranks, oddRanks, operations } = flight;
    this.element.hidden = problem === null && generation === null;
    fill(
      this.element,
      h(
        'header',
        {},
        h(
          'h2',
          {},
          'Flight record ',
          generation !== null && h('small', {}, `what each rank did last, generation ${generation}`),
        ),
      ),
      problem !== null && h('p', { class: 'is-bad' }, problem),
      summary !== null && h('p', { class: 'cause' }, summary),
      reason !== null && h('p', { class: 'hint' }, `written because of: ${reason}`),
      ...missingNodes.map((node) =>
        h('p', { class: 'hint' }, `Node ${node} left no file: what its ranks did is not known.`),
      ),
      ranks.length > 0 &&
        table(
          'ranks',
          RANK_COLUMNS,
          ranks.map((rank) => rankRow(rank, oddRanks)),
        ),
      operations.length > 0 &&
        table(
          'the last operations',
          OPERATION_COLUMNS,
          operations.map((each) => operationRow(each, ranks.length)),
        ),
      commandLine('in a terminal', command),
    );
  }
}

function rankRow(row: FlightRankRow, oddRanks: readonly number[]): HTMLElement {
  const {
    rank,
    node,
    pid,
    processState,
    step,
    phase,
    operation,
    isInside,
    waitChain,
    timesLast,
    medianLateMs,
  } = row;
  const doing =
    operation === null
      ? 'no operation yet'
      : `${isInside ? 'in' : 'after'} ${operation.kind} ${operation.sequence} ${operation.purpose}`;
  return h(
    'tr',
    { class: oddRanks.includes(rank) ? 'is-odd' : '' },
    h('th', { scope: 'row' }, `rank ${rank}`),
    ...[String(node), String(pid), STATES[processState] ?? processState, `${step} ${phase}`, doing].map(cell),
    cell(waitChain.map((each) => `rank ${each}`).join(' → ')),
    cell(timesLast === 0 ? '' : timesLast === 1 ? 'once' : `${timesLast} times`),
    cell(timesLast === 0 ? '' : `${medianLateMs.toFixed(1)} ms`),
  );
}

/** Letters of the kernel. */
const STATES: Readonly<Record<string, string>> = {
  R: 'running',
  S: 'sleeping',
  D: 'in a system call',
  T: 'stopped',
  t: 'in a debugger',
  X: 'ended',
  Z: 'ended',
};

function operationRow(each: FlightOperation, numRanks: number): HTMLElement {
  const { sequence, kind, purpose, step, layer, entered, left, missing, last, tookMs } = each;
  return h(
    'tr',
    { class: missing.length > 0 ? 'is-odd' : '' },
    h('th', { scope: 'row' }, `${kind} ${sequence}`),
    ...[purpose, String(step), layer === null ? '' : String(layer)].map(cell),
    ...[`${entered}/${numRanks}`, `${left}/${numRanks}`].map(cell),
    cell(missing.map((rank) => `rank ${rank}`).join(', ')),
    cell(last === null ? '' : `rank ${last.rank}, +${last.lateMs.toFixed(1)} ms`),
    cell(tookMs === null ? DASH : `${tookMs.toFixed(1)} ms`),
  );
}

function cell(text: string): HTMLElement {
  return h('td', {}, text);
}

function table(what: string, columns: readonly string[], rows: readonly HTMLElement[]): HTMLElement {
  return scrollable(
    `table of ${what}`,
    h(
      'table',
      {},
      h('thead', {}, h('tr', {}, ...columns.map((name) => h('th', { scope: 'col' }, name)))),
      h('tbody', {}, ...rows),
    ),
  );
}
