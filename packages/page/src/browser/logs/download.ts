import { saveFile } from '../dom.js';
import { type LogLine, originOf } from './log-line.js';

/** Downloads the lines as tab-separated text, or as JSON with labels and fields. */
export function downloadLines(lines: readonly LogLine[], kind: 'txt' | 'json', name: string): void {
  const rowOf = (line: LogLine) =>
    [new Date(line.timeMs).toISOString(), line.level, originOf(line), `${line.message}\n`].join('\t');
  const records = lines.map(({ ns, labels, fields, text: line }) => ({
    timestamp: ns,
    labels,
    fields,
    line,
  }));
  const text = kind === 'txt' ? lines.map(rowOf).join('') : JSON.stringify(records, null, 2);
  saveFile(`${name}.${kind}`, new Blob([text], { type: kind === 'txt' ? 'text/plain' : 'application/json' }));
}
