import type { TimelineSpan } from '@locmoe/run-format/timeline-data';
import { type Child, h } from '../dom.js';
import { formatBytes } from '../format.js';
import { formatSpanMs, nameOf } from './span-style.js';

/** Returns the contents of the tooltip of a span: its name, then a row for each number. */
export function spanDetails(span: TimelineSpan, rank: number, isInFlight: boolean): HTMLElement[] {
  const { operation, startMs, endMs, isOpen } = span;
  const rows: (readonly [string, string])[] = [
    ['rank', String(rank)],
    [isOpen ? 'lasted at least' : 'took', formatSpanMs(endMs - startMs)],
    ['from the start', formatSpanMs(startMs)],
  ];
  if (operation !== null) {
    const { bytesOut, bytesIn, wait, sequence } = operation;
    rows.push(
      ['operation', String(sequence)],
      ['sent', formatBytes(bytesOut)],
      ['received', formatBytes(bytesIn)],
    );
    if (wait !== null) {
      const last = wait.rank === null ? '' : `, last for rank ${wait.rank}`;
      rows.push(['waited', `${formatSpanMs(wait.endMs - wait.startMs)}${last}`]);
    }
    if (wait?.rankStartMs != null) {
      const late = wait.rankStartMs - startMs;
      rows.push([
        `rank ${wait.rank} began`,
        `${formatSpanMs(Math.abs(late))} ${late < 0 ? 'before' : 'after'} this rank`,
      ]);
    }
  }
  const notes: Child[] = [
    isInFlight && 'in flight while the rank did other things',
    isOpen && 'still under way when the trace ended',
  ];
  return [
    h.b(nameOf(span)),
    h.dl(...rows.map(([name, value]) => h.div(h.dt(name), h.dd(value)))),
    ...notes.flatMap((note) => (note ? [h.small(note)] : [])),
  ];
}
