import type { Extraction } from './ast.js';
import { labelName } from './json-fields.js';
import type { PipelineLine } from './pipeline-line.js';

export interface LogfmtOptions {
  readonly extractions: readonly Extraction[];
  /** A malformed pair sets an error instead of being skipped. */
  readonly strict: boolean;
  /** Extracts keys without a value too. */
  readonly keepEmpty: boolean;
}

const PAIR = /\s*(?:([^\s="]+)(?:=(?:"((?:[^"\\]|\\.)*)"|([^\s"=]*)))?(?=\s|$)|(\S+))/gy;

/**
 * Compiles the stage `logfmt`, which extracts pairs like `key=value key="some text"`. As in Loki, a named key
 * that the line does not have gives an empty label.
 */
export function compileLogfmt({
  extractions,
  strict,
  keepEmpty,
}: LogfmtOptions): (line: PipelineLine) => void {
  const wanted = new Map(extractions.map(({ name, path }) => [path, name]));
  return (line) => {
    for (const [, key, quoted, bare, malformed] of line.text.matchAll(PAIR)) {
      if (malformed !== undefined) {
        if (!strict) continue;
        line.fail('LogfmtParserErr', `unexpected ${malformed.slice(0, 100)}`);
        break;
      }
      if (key === undefined) continue;
      const value = quoted === undefined ? (bare ?? '') : unquoted(quoted);
      const name = extractions.length === 0 ? labelName(key) : wanted.get(key);
      if (name !== undefined && (value !== '' || keepEmpty)) line.extract(name, value);
    }
    for (const { name } of extractions) line.extractNothing(name);
  };
}

function unquoted(text: string): string {
  return text.replace(/\\(.)/g, (_, letter: string) => ({ n: '\n', t: '\t', r: '\r' })[letter] ?? letter);
}
