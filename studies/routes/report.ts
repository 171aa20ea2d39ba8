import { percent, table, type View } from '../kit/text.js';
import type { EngineAgreement, RouterAgreement } from './agreement.js';
import type { Choices, RouterChoices } from './choices.js';
import type { Figures } from './figures.js';
import type { Placed } from './placement.js';
import type { Recording } from './recording.js';
import type { Traffic } from './traffic.js';

export function viewOf({ choices, recording, agreement, traffic, placement }: Figures): View {
  return {
    choices: choices && { table: choicesTable(choices), worth: worthTable(choices) },
    recording: recording && recordingView(recording),
    agreement: agreement && agreementTable(agreement),
    traffic: traffic && trafficTable(traffic),
    placement: placement && placementTable(placement),
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

function agreementTable(agreement: readonly RouterAgreement[]): string {
  const engines = agreement[0]!.engines.map(({ engine, precision }) => `${engine}, ${precision}`);
  const equal = ({ compared, different, ties, missing }: EngineAgreement) => {
    if (missing !== null) return `not here: ${missing}`;
    const share = 1 - (different + ties) / compared;
    return different + ties === 0
      ? '100 %'
      : `${(100 * share).toFixed(2)} %${ties === 0 ? '' : `, ${ties} ties`}`;
  };
  return table([
    ['engine', ...agreement.map(({ router }) => router)],
    ...engines.map((engine, i) => [engine, ...agreement.map(({ engines }) => equal(engines[i]!))]),
  ]);
}

function trafficTable(traffic: readonly Traffic[]): string {
  const bytes = (value: number) => value.toLocaleString('en');
  return table([
    ['router', 'exchange', 'bytes sent', 'from the routes', 'apart'],
    ...traffic.map(({ router, exchange, measured, fromRoutes, difference }) => [
      router,
      exchange,
      bytes(measured),
      bytes(fromRoutes),
      bytes(difference),
    ]),
  ]);
}

function placementTable(placement: readonly Placed[]): string {
  const mega = (bytes: number) => (bytes / 1e6).toFixed(2);
  const signedPercent = (error: number) => `${error >= 0 ? '+' : ''}${percent(error)}`;
  return table([
    [
      'layout, router',
      'experts',
      'MB between nodes, predicted',
      'measured',
      'error',
      'ms a step, predicted',
      'measured',
      'error',
      'above the bound',
    ],
    ...placement.flatMap(({ layout, router, report, bytesOtherNode, stepMs }) => [
      ...(['contiguous', 'placed'] as const).map((experts) => [
        `${layout}, ${router}`,
        experts === 'contiguous' ? 'consecutive' : experts,
        mega(bytesOtherNode[experts].predicted),
        mega(bytesOtherNode[experts].measured),
        signedPercent(bytesOtherNode[experts].error),
        stepMs[experts].predicted.toFixed(1),
        stepMs[experts].measured.toFixed(1),
        signedPercent(stepMs[experts].error),
        experts === 'placed' ? percent(report.gap) : '',
      ]),
      [`${layout}, ${router}`, 'random', mega(report.random.bytesOtherNode), '', '', '', '', '', ''],
    ]),
  ]);
}
