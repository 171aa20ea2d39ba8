import type { FlightOperation, FlightRankRow, FlightReply } from '../../api-types.js';
import { commandLine } from '../command-line.js';
import { fill, h, heading, row, scrollable, table } from '../dom.js';
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
  readonly element = h.section({ class: 'card full flight', 'aria-label': 'Flight record' });

  /** @param command shell command that prints the record in more detail */
  set(flight: FlightReply, command: string): void {
    const { problem, generation, summary, reason, missingNodes, ranks, operations } = flight;
    this.element.hidden = problem === null && generation === null;
    const rankRows = ranks.map((each) => rankRow(each, flight));
    const operationRows = operations.map((each) => operationRow(each, ranks.length));
    fill(
      this.element,
      heading('Flight record', generation !== null && `what each rank did last, generation ${generation}`),
      problem !== null && h.p({ class: 'is-bad' }, problem),
      summary !== null && h.p({ class: 'cause' }, summary),
      reason !== null && h.p({ class: 'hint' }, `written because of: ${reason}`),
      ...missingNodes.map((node) =>
        h.p({ class: 'hint' }, `Node ${node} left no file: what its ranks did is not known.`),
      ),
      ranks.length > 0 && scrollable('table of ranks', table(RANK_COLUMNS, rankRows)),
      operations.length > 0 &&
        scrollable('table of the last operations', table(OPERATION_COLUMNS, operationRows)),
      commandLine('in a terminal', command),
    );
  }
}

function rankRow(each: FlightRankRow, { oddRanks }: FlightReply): HTMLElement {
  const { rank, operation, isInside, timesLast } = each;
  const doing = operation && `${operation.kind} ${operation.sequence} ${operation.purpose}`;
  return row(
    { class: oddRanks.includes(rank) ? 'is-odd' : '' },
    `rank ${rank}`,
    String(each.node),
    String(each.pid),
    STATES[each.processState] ?? each.processState,
    `${each.step} ${each.phase}`,
    doing === null ? 'no operation yet' : `${isInside ? 'in' : 'after'} ${doing}`,
    each.waitChain.map((other) => `rank ${other}`).join(' → '),
    timesLast === 0 ? '' : timesLast === 1 ? 'once' : `${timesLast} times`,
    timesLast === 0 ? '' : `${each.medianLateMs.toFixed(1)} ms`,
  );
}

/** Process states by the kernel's letters. */
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
  const { layer, missing, last, tookMs } = each;
  return row(
    { class: missing.length > 0 ? 'is-odd' : '' },
    `${each.kind} ${each.sequence}`,
    each.purpose,
    String(each.step),
    layer === null ? '' : String(layer),
    `${each.entered}/${numRanks}`,
    `${each.left}/${numRanks}`,
    missing.map((rank) => `rank ${rank}`).join(', '),
    last === null ? '' : `rank ${last.rank}, +${last.lateMs.toFixed(1)} ms`,
    tookMs === null ? DASH : `${tookMs.toFixed(1)} ms`,
  );
}
