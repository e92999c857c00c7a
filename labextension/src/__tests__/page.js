// What every browser has and jsdom lacks.
const { TextDecoder, TextEncoder } = require('util');

class DragEvent extends MouseEvent {}

Object.assign(globalThis, { DragEvent, TextDecoder, TextEncoder });

globalThis.matchMedia ??= () => ({
  matches: false,
  addEventListener: () => undefined
});
navigator.clipboard ??= {};
