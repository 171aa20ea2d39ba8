import { percent, table, type View } from '../kit/text.js';
import type { Choices, RouterChoices } from './choices.js';
import type { Figures } from './figures.js';
import type { Recording } from './recording.js';

export function viewOf({ choices, recording }: Figures): View {
  return {
    choices: choices && { table: choicesTable(choices), worth: worthTable(choices) },
    recording: recording && recordingView(recording),
  };
}

function choicesTable(choices: Choices): string {
  const share = (value: number | null) => (value === null ? '' : percent(Math.max(0, value)));
  const within = (value: number, error: number) => `${percent(value)} ± ${(100 * error).toFixed(1)}`;
  return table([
    [
      'router',
      'id',
      'id and domain',
      'experts dealt anew',
      'bits left',
      'of these the id before explains',
      "gate's own first",
      'stability',
      'load, most / mean',
    ],
    ...Object.values(choices).map((each) => [
      each.label,
      within(each.byId, each.byIdError),
      within(each.byIdAndDomain, each.byIdAndDomainError),
      percent(each.shuffled),
      each.bitsLeft.toFixed(2),
      share(each.byIdBefore),
      share(each.gateShare),
      percent(each.stability),
      each.loadMax.toFixed(2),
    ]),
  ]);
}

function worthTable(choices: Choices): string {
  const change = ({ perplexity }: RouterChoices, other: number) => {
    const ratio = other / perplexity - 1;
    return `${other.toFixed(2)} (${ratio >= 0 ? '+' : ''}${percent(ratio)})`;
  };
  return table([
    ['router', 'perplexity as trained', 'scores of the gate zero', 'scores of other tokens'],
    ...Object.values(choices).map((each) => [
      each.label,
      each.perplexity.toFixed(2),
      change(each, each.perplexityWithoutGate),
      change(each, each.perplexityWithOthersScores),
    ]),
  ]);
}

function recordingView({ stepMs, ...figures }: Recording): View {
  const list = (values: readonly number[]) => values.map((ms) => ms.toFixed(1)).join(', ');
  return {
    turns: figures.turns,
    steps: figures.steps,
    off: list(stepMs.off),
    sampled: list(stepMs.sampled),
    whole: list(stepMs.whole),
    extra: figures.recordedStepMs.toFixed(1),
    share: `${(100 * figures.shareOfStep).toFixed(2)} %`,
    rowsPerS: Math.round(figures.rowsPerS).toLocaleString('en'),
    megabytes: figures.megabytesPerMillionChoices.toFixed(1),
  };
}
