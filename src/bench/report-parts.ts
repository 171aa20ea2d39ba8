import { cpus, totalmem } from 'node:os';

/** Text between these marks is written by people; a new report keeps it. */
const WHY_BEGINS = '<!-- why: what is written between these two marks is kept -->';
const WHY_ENDS = '<!-- /why -->';
const NO_REASON_YET = '_Nothing written yet._';

/** The machine of a measurement, in one line. */
export function machineName(): string {
  const gib = Math.round(totalmem() / 2 ** 30);
  return `${cpus().length} x ${cpus()[0].model}, ${gib} GiB, Node ${process.versions.node}`;
}

/** A Markdown table; the first row is its header, all columns but the first are set to the right. */
export function table(rows: readonly (readonly string[])[]): string {
  const [header, ...body] = rows.map((row) => `| ${row.join(' | ')} |`);
  const columns = rows[0].map((_, column) => (column === 0 ? '---' : '---:'));
  return [header, `| ${columns.join(' | ')} |`, ...body].join('\n');
}

/** The marks with what people have written between them in the report `previous`, which may be empty. */
export function keptText(previous: string): string {
  return `${WHY_BEGINS}\n${writtenIn(previous)}\n${WHY_ENDS}`;
}

function writtenIn(previous: string): string {
  const begin = previous.indexOf(WHY_BEGINS);
  const end = previous.indexOf(WHY_ENDS);
  if (begin < 0 || end < begin) return NO_REASON_YET;
  return previous.slice(begin + WHY_BEGINS.length, end).trim() || NO_REASON_YET;
}
