import type { Labels, LogStream } from '../store/streams.js';

/** The label that every entry has besides those of its stream, as structured metadata in Loki's sense. */
export const DETECTED_LEVEL = 'detected_level';

const NAMES = ['level', 'LEVEL', 'Level', 'severity', 'SEVERITY', 'Severity', 'lvl', 'LVL', 'Lvl'];
const NAME = `(?:${NAMES.join('|')})`;
const JSON_FIELD = new RegExp(`"${NAME}"\\s*:\\s*(?:"([^"\\\\]*)"|(\\d+))`);
const LOGFMT_FIELD = new RegExp(`(?:^|\\s)${NAME}=(?:"([^"]*)"|(\\S+))`);
/** A level's name in free text, standing alone. */
const WORD =
  /(?<=^|[\s[({"'=|])(?:trace|debug|fatal|critical|error|err|warning|warn|info)(?=$|[\s[\](){}:,!"'=|])/i;

const SPELLINGS: Readonly<Record<string, string>> = {
  trc: 'trace',
  dbg: 'debug',
  inf: 'info',
  information: 'info',
  wrn: 'warn',
  warning: 'warn',
  err: 'error',
};
const LEVELS = ['trace', 'debug', 'info', 'warn', 'error', 'critical', 'fatal'];
/** pino's numbers: 10, 20, ... 60. */
const NUMBERS = ['trace', 'debug', 'info', 'warn', 'error', 'fatal'];

/** The level of a line from a field `level` in JSON or logfmt, or else from the first word that names one. */
export function detectLevel(text: string): string {
  const [, word, other] = (/^\s*\{/.test(text) ? JSON_FIELD : LOGFMT_FIELD).exec(text) ?? [];
  const level = NUMBERS[Number(other) / 10 - 1] ?? normalized(word ?? other ?? '');
  return LEVELS.includes(level) ? level : normalized(WORD.exec(text)?.[0] ?? 'unknown');
}

function normalized(level: string): string {
  const lower = level.toLowerCase();
  const known = SPELLINGS[lower] ?? lower;
  return LEVELS.includes(known) ? known : level;
}

interface LevelledLabels {
  /** Labels of a stream whose own labels name the level. */
  readonly always: Labels | null;
  readonly byLevel: Map<string, Labels>;
}

const BY_STREAM = new WeakMap<LogStream, LevelledLabels>();

/** Labels of an entry before any stage: those of its stream and `detected_level`. */
export function entryLabels(stream: LogStream, text: string): Labels {
  const { always, byLevel } = levelledLabels(stream);
  if (always !== null) return always;
  const level = detectLevel(text);
  let labels = byLevel.get(level);
  if (labels === undefined) {
    labels = withLevel(stream.labels, level);
    byLevel.set(level, labels);
  }
  return labels;
}

/** Whether all entries of a stream have the same level, so that no line must be read for it. */
export function hasOneLevel(stream: LogStream): boolean {
  return levelledLabels(stream).always !== null;
}

function levelledLabels(stream: LogStream): LevelledLabels {
  let levelled = BY_STREAM.get(stream);
  if (levelled === undefined) {
    levelled = { always: withOwnLevel(stream.labels), byLevel: new Map() };
    BY_STREAM.set(stream, levelled);
  }
  return levelled;
}

function withOwnLevel(labels: Labels): Labels | null {
  if (labels.has(DETECTED_LEVEL)) return labels;
  const name = NAMES.find((each) => labels.has(each));
  return name === undefined ? null : withLevel(labels, normalized(labels.get(name)!));
}

function withLevel(labels: Labels, level: string): Labels {
  return new Map(labels).set(DETECTED_LEVEL, level);
}
