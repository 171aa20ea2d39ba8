import loadKitoken, { Kitoken } from 'kitoken/web';
import { soloTransport } from 'locmoe/internal/collectives/solo-transport';
import { LanguageModel } from 'locmoe/internal/model/language-model';
import { tensorflowKernels } from 'locmoe/internal/ops/kernels/tensorflow/tensorflow-kernels';
import { answerMemory } from 'locmoe/internal/ops/kernels/webgpu/answer';
import { Device } from 'locmoe/internal/ops/kernels/webgpu/device';
import { assertComputesRight } from 'locmoe/internal/ops/kernels/webgpu/self-test';
import { webGpuKernels } from 'locmoe/internal/ops/kernels/webgpu/webgpu-kernels';
import { forwardBackward } from 'locmoe/internal/worker/forward-backward';
import { learningRateAt } from 'locmoe/internal/worker/lr-schedule';
import { updateParameters } from 'locmoe/internal/worker/parameter-update';
import { useKernels } from './browser-modules/choose-kernels.js';
import { tf } from './browser-modules/tensorflow.js';
import type { FromTrainer, Progress, RoutedToken, Settings } from './messages.js';
import { batchOf, configOf, drawBatch, SEQ_LEN, SEQUENCES, type Text, tokenize } from './training.js';

// The worker that trains: the trainer's own model, operations and updates, on one rank.

/** Steps from one report to the next, or fewer on a slow device. */
const REPORT_EVERY = 10;
const REPORT_WITHIN_MS = 2000;

function tell(message: FromTrainer): void {
  postMessage(message);
}

async function openDevice(): Promise<Device> {
  const worker = new Worker(new URL('device.js', import.meta.url), { type: 'module' });
  const answer = answerMemory();
  worker.postMessage(answer);
  await new Promise((resolve, reject) => {
    worker.onmessage = resolve;
    worker.onerror = ({ message }) => reject(new Error(`device.js: ${message}`));
  });
  return new Device({ answer, post: (commands, moved) => worker.postMessage(commands, [...moved]) });
}

function readHeldOut(model: LanguageModel, texts: readonly Text[]): Progress['heldOut'] {
  return texts.map(({ heldOut, names }, domain) => {
    let chosenTK = new Int32Array(0);
    let numChoices = 1;
    tf.engine().startScope();
    const { sequenceLosses } = model.loss(batchOf([{ domain, ids: heldOut }]), {
      training: false,
      // The last layer is called last.
      inspect: (_layer, _x, decision) => {
        chosenTK = Int32Array.from(decision.chosenTK);
        numChoices = decision.numChoices;
      },
    });
    tf.engine().endScope();
    const tokens = names.slice(0, SEQ_LEN).map((name, t): RoutedToken => [name, chosenTK[t * numChoices]!]);
    const shares = new Array<number>(model.config.moe.numExperts).fill(0);
    for (const [, expert] of tokens) if (expert >= 0) shares[expert]! += 1 / SEQ_LEN;
    return { loss: sequenceLosses[0]!, tokens, shares };
  });
}

async function train(settings: Settings): Promise<void> {
  const [device] = await Promise.all([
    openDevice(),
    // It is fetched as bytes, since a server of static files may not know the type of WebAssembly.
    fetch(new URL('kitoken.wasm', import.meta.url)).then(async (response) =>
      loadKitoken({ module_or_path: await response.arrayBuffer() }),
    ),
  ]);
  const { texts, vocabSize } = tokenize(settings.texts, Kitoken);
  const config = configOf(settings, vocabSize);
  const kernels = webGpuKernels(device);
  const { dModel, numHeads } = config.model;
  assertComputesRight(kernels, tensorflowKernels, [dModel / numHeads]);
  useKernels(kernels);
  const transport = soloTransport();
  const model = new LanguageModel(config, transport);
  model.parameters.stayOnDevice();
  const numParameters = model.parameterSpecs.reduce(
    (sum, { shape }) => sum + shape.reduce((product, size) => product * size, 1),
    0,
  );
  tell({ kind: 'started', device: device.info.description, numParameters });
  let sum = 0;
  let begun = performance.now();
  let numSteps = 0;
  for (let step = 1; step <= settings.steps; step++) {
    const pass = forwardBackward({ model, transport }, step, drawBatch(texts, step), {
      numMeans: 1,
      meanOver: undefined,
      isFirst: true,
      onBackward: undefined,
      inspect: undefined,
      change: undefined,
    });
    const norm = Math.sqrt(model.parameters.onDevice!.squaredNorm());
    if (!Number.isFinite(norm)) throw new Error(`step ${step}: the gradient is not finite`);
    const learningRate = learningRateAt(step, settings.steps, config.train);
    updateParameters(model, config.train, { step, learningRate, norm, touched: null });
    sum += pass.loss;
    numSteps++;
    const ms = performance.now() - begun;
    if (step % REPORT_EVERY !== 0 && ms < REPORT_WITHIN_MS && step !== settings.steps) continue;
    const tokensPerS = (1000 * numSteps * SEQUENCES * SEQ_LEN) / ms;
    tell({
      kind: 'progress',
      progress: { step, loss: sum / numSteps, tokensPerS, heldOut: readHeldOut(model, texts) },
    });
    [sum, numSteps, begun] = [0, 0, performance.now()];
  }
  tell({ kind: 'done' });
}

/** Errors of a device name fields of a configuration, which this page does not have. */
function withoutFields(message: string): string {
  return message.replaceAll(
    /train\.device webgpu: |; train\.device cpu does without|, or use train\.device cpu/g,
    '',
  );
}

addEventListener('message', ({ data }: MessageEvent<Settings>) => {
  train(data).catch(({ message }: Error) => tell({ kind: 'failed', message: withoutFields(message) }));
});
