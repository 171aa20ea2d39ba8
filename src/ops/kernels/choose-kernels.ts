import { existsSync } from 'node:fs';
import { findOneDnn, findThreads } from '../../../scripts/onednn.mjs';
import { findWebGpu } from '../../../scripts/webgpu.mjs';
import { TrainerError } from '../../errors.js';
import { locmoeCommand } from '../../os/command-line.js';
import { multipliesBfloat16 } from '../../os/processor.js';
import type { Kernels } from './kernels.js';
import { loadOneDnn, type OneDnn } from './onednn/library.js';
import { oneDnnKernels } from './onednn/onednn-kernels.js';
import type { ElementType } from './onednn/tensor-memory.js';
import { tensorflowKernels } from './tensorflow/tensorflow-kernels.js';
import { openDevice } from './webgpu/open-device.js';
import { assertComputesRight } from './webgpu/self-test.js';
import { webGpuKernels } from './webgpu/webgpu-kernels.js';

export { findThreads };

/** Values of `train.precision`. */
type Precision = ElementType | 'auto';

/** Fields of `train` that say where products are computed, and how. */
export interface Computation {
  readonly device: 'cpu' | 'webgpu' | 'auto';
  readonly precision: Precision;
}

const CHOICES = ['auto', 'onednn', 'tensorflow', 'webgpu'];

let computation: Computation = { device: 'cpu', precision: 'float32' };
let chosen: Kernels | undefined;
let noDevice: string | null = null;
let library: { readonly path: string; readonly loaded: OneDnn } | undefined;

/**
 * Returns the kernels of this process: those of oneDNN if it is found, otherwise TensorFlow's, or the ones that
 * LOCMOE_KERNELS or `useComputation` names. They are chosen at the first call, for the lifetime of the process.
 *
 * @throws TrainerError as `assertComputes`; `NO_RESOURCE` if there is no graphics device, or it computes wrong
 */
export function kernels(): Kernels {
  chosen ??= choose();
  return chosen;
}

/** Wraps the kernels of this process, so that each of their operations can be measured where it runs. */
export function wrapKernels(wrap: (chosen: Kernels) => Kernels): void {
  chosen = wrap(kernels());
}

/**
 * Returns the path of the oneDNN library to use; null if TensorFlow computes.
 *
 * @throws TrainerError `BAD_INPUT` if LOCMOE_KERNELS or LOCMOE_ONEDNN names something unavailable
 */
export function oneDnnPath(): string | null {
  const choice = process.env.LOCMOE_KERNELS || 'auto';
  if (!CHOICES.includes(choice))
    throw new TrainerError(
      'BAD_INPUT',
      `LOCMOE_KERNELS is ${choice}: it must be one of ${CHOICES.join(', ')}`,
    );
  const path = choice === 'tensorflow' ? null : findOneDnn();
  if (path !== null && !existsSync(path))
    throw new TrainerError('BAD_INPUT', `LOCMOE_ONEDNN is ${path}: there is no such file`);
  if (path === null && choice === 'onednn')
    throw new TrainerError(
      'BAD_INPUT',
      `LOCMOE_KERNELS is onednn, which is not installed: ${locmoeCommand(['setup'])} says how`,
    );
  return path;
}

/**
 * Tells why bfloat16 is not available here; null if it is.
 *
 * @throws TrainerError as `oneDnnPath` and `loadOneDnn`
 */
export function whyNoBfloat16(): string | null {
  const path = oneDnnPath();
  if (path !== null)
    return load(path).hasBfloat16
      ? null
      : 'oneDNN does not multiply it on this processor, which has no AVX-512';
  return process.env.LOCMOE_KERNELS === 'tensorflow'
    ? 'it needs oneDNN, but LOCMOE_KERNELS says tensorflow'
    : `it needs oneDNN, which is not installed: run ${locmoeCommand(['setup'])}`;
}

/**
 * Checks that this machine computes so.
 *
 * @throws TrainerError `BAD_CONFIG` if nothing here computes in this precision; as `webGpuPath`, `oneDnnPath` and `loadOneDnn`
 */
export function assertComputes({ device, precision }: Computation): void {
  oneDnnPath();
  if (device === 'webgpu') webGpuPath();
  const why = precision === 'bfloat16' ? whyNoBfloat16() : null;
  if (why !== null)
    throw new TrainerError('BAD_CONFIG', `train.precision bfloat16: ${why}; float32 and auto do without it`);
}

/**
 * Returns the type in which products are computed here; throws as `assertComputes`.
 *
 * @param device of which `cpu` alone computes in bfloat16 for `auto`
 */
export function elementTypeOf(precision: Precision, device: Computation['device'] = 'cpu'): ElementType {
  if (precision !== 'auto') return precision;
  return device === 'cpu' && multipliesBfloat16() && whyNoBfloat16() === null ? 'bfloat16' : 'float32';
}

/** Tells whether oneDNN computes here; throws as `oneDnnPath`. */
export function usesOneDnn(): boolean {
  return oneDnnPath() !== null;
}

/** Sets where and how training computes: on the processor in float32 by default. Must be called before `kernels`. */
export function useComputation({ device, precision }: Computation): void {
  if (chosen !== undefined && (computation.device !== device || computation.precision !== precision))
    throw new TrainerError('INTERNAL', `the kernels compute in ${JSON.stringify(computation)} already`);
  computation = { device, precision };
}

function choose(): Kernels {
  const { device, precision } = computation;
  if (device === 'webgpu' || process.env.LOCMOE_KERNELS === 'webgpu') return deviceKernels();
  if (device === 'cpu' || precision === 'bfloat16') return processorKernels();
  try {
    return deviceKernels('no software');
  } catch (error) {
    noDevice = (error as Error).message;
    return processorKernels();
  }
}

/** Tells why the kernels compute on the processor where `train.device: auto` would have had a graphics device; null if it has one. */
export function whyNoDevice(): string | null {
  return noDevice;
}

function processorKernels(): Kernels {
  assertComputes({ ...computation, device: 'cpu' });
  const path = oneDnnPath();
  if (path === null) return tensorflowKernels;
  return oneDnnKernels(load(path), elementTypeOf(computation.precision, computation.device));
}

/**
 * Opens a graphics device.
 *
 * @param software whether a driver that computes on the processor will do
 * @throws TrainerError `NO_RESOURCE` if there is no device, or it computes wrong; as `webGpuPath`
 */
export function deviceKernels(software: 'software too' | 'no software' = 'software too'): Kernels {
  const device = openDevice(webGpuPath());
  try {
    const { isSoftware, description } = device.info;
    if (isSoftware && software === 'no software')
      throw new TrainerError('NO_RESOURCE', `${description} is no card, but computes on the processor`);
    const own = webGpuKernels(device);
    assertComputesRight(own, tensorflowKernels);
    return own;
  } catch (error) {
    device.close();
    throw error;
  }
}

/**
 * Returns the path of the library of graphics devices.
 *
 * @throws TrainerError `NO_RESOURCE` if it is not installed; `BAD_INPUT` if LOCMOE_WEBGPU names no file
 */
export function webGpuPath(): string {
  const path = findWebGpu();
  if (path === null)
    throw new TrainerError(
      'NO_RESOURCE',
      `train.device webgpu: its library is not installed: run ${locmoeCommand(['setup', '--webgpu'])}`,
    );
  if (!existsSync(path))
    throw new TrainerError(
      'BAD_INPUT',
      `train.device webgpu: LOCMOE_WEBGPU is ${path}: there is no such file`,
    );
  return path;
}

/** Loads the library only once, as each instance has an engine and a stream. */
function load(path: string): OneDnn {
  if (library?.path !== path) library = { path, loaded: loadOneDnn(path, findThreads()) };
  return library.loaded;
}
