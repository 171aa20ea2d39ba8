import type { AnswerMemory } from './answer.js';

/** A compute shader, whose entry point is `main`. Equal names have equal sources. */
export interface Shader {
  readonly name: string;
  /** Source in WGSL. Binding 0 is a uniform of words, the others are storage. */
  readonly code: string;
}

/** Greatest number of commands that the thread gets at a time: the device begins while the main thread goes on. */
export const BATCH = 32;

/** Greatest number of bytes that are read at a time, unless one tensor has more. */
export const READ_BYTES = 64 << 20;

/** A command, which the device carries out after all earlier ones. Numbers of buffers are never used twice. */
export type DeviceCommand =
  | { readonly do: 'create'; readonly buffer: number; readonly bytes: number }
  | { readonly do: 'free'; readonly buffer: number }
  | { readonly do: 'write'; readonly buffer: number; readonly values: Words }
  /** Sets all elements to zero. */
  | { readonly do: 'clear'; readonly buffer: number }
  | { readonly do: 'shader'; readonly shader: Shader }
  | {
      readonly do: 'run';
      /** Name of the shader. */
      readonly shader: string;
      readonly buffers: readonly number[];
      readonly params: Uint32Array<ArrayBuffer>;
      readonly groups: Groups;
    }
  | {
      readonly do: 'copy';
      readonly from: number;
      readonly fromByte: number;
      readonly to: number;
      readonly toByte: number;
      readonly bytes: number;
    }
  /** Ends the device: what comes later fails. */
  | { readonly do: 'destroy' }
  /** Copies what buffers hold into memory of the host, one after the other, and is the last command of its batch. */
  | {
      readonly do: 'read';
      readonly from: readonly DeviceValues[];
      readonly into: Uint8Array<SharedArrayBuffer>;
    };

/** The first `length` words of a buffer. */
export interface DeviceValues {
  readonly buffer: number;
  readonly length: number;
}

/** Numbers of workgroups by dimension. */
export type Groups = readonly [x: number, y: number, z?: number];

export type Words = Float32Array<ArrayBuffer> | Int32Array<ArrayBuffer>;

/** The adapter that computes. */
export interface DeviceInfo {
  /** Name and driver, for people. */
  readonly description: string;
  /** Largest number of bytes of a tensor. */
  readonly tensorBytes: number;
  /** Whether it is no card, but a driver that computes on the processor. */
  readonly isSoftware: boolean;
}

export interface DeviceThreadData {
  /** Path of Dawn's addon. */
  readonly library: string;
  readonly answer: AnswerMemory;
}
