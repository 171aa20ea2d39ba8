import { tf } from './tensorflow.js';

/** Whether a gradient is recorded: operations keep what their backward needs. */
export function isRecording(): boolean {
  return tf.engine().state.gradientDepth > 0;
}
