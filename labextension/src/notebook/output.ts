/**
 * One output of a cell (nbformat) as it travels: text, and a picture if it is one.
 * Plain text is preferred; HTML tables become text; figures and widgets, which are
 * data for a renderer, become a short note; long text is cut head and tail.
 */
import type * as nbformat from '@jupyterlab/nbformat';

import type { IImage, IOutput } from '../wire/types';
import { cutText, plainText } from './cut';
import { htmlToText } from './html';

/** Base64 characters of one picture; a larger one is only mentioned. */
export const MAX_IMAGE = 1_500_000;

/** An error's end (the exception) says more than its beginning. */
const ERROR_HEAD = 0.3;

/** Cells that draw in a loop: outputs kept of one cell, first and last ones. */
const FIRST_OUTPUTS = 8;
const LAST_OUTPUTS = 24;

const IMAGE_MIMES = [
  'image/png',
  'image/jpeg',
  'image/gif',
  'image/webp'
] as const;

/** `<pandas.io.formats.style.Styler at 0x7f…>`: says nothing. */
const BARE_REPR = /^<[\w.<>]+(?: object)? at 0x[0-9a-f]+>$/;

/** The outputs of a cell, from wherever they are read. */
export function readOutputs<T>(
  outputs: readonly T[],
  read: (output: T) => IOutput | null
): IOutput[] {
  const gap = outputs.length - FIRST_OUTPUTS - LAST_OUTPUTS;
  if (gap <= 0) {
    return outputs.flatMap(output => read(output) ?? []);
  }
  return [
    ...outputs.slice(0, FIRST_OUTPUTS).flatMap(output => read(output) ?? []),
    { kind: 'display', text: `[${gap} outputs left out]` },
    ...outputs.slice(-LAST_OUTPUTS).flatMap(output => read(output) ?? [])
  ];
}

/** null: nothing in it that a model could use. */
export function readOutput(
  output: nbformat.IOutput,
  limit: number
): IOutput | null {
  switch (output.output_type) {
    case 'stream':
      return readStream(output as nbformat.IStream, limit);
    case 'error':
      return readError(output as nbformat.IError, limit);
    case 'execute_result':
    case 'display_data':
    case 'update_display_data':
      return readBundle(output as nbformat.IDisplayData, limit);
    default:
      return null;
  }
}

function readStream(output: nbformat.IStream, limit: number): IOutput | null {
  const text = plainText(joined(output.text));
  const kind = output.name === 'stderr' ? 'stderr' : 'stdout';
  return text === '' ? null : withText({ kind }, text, limit);
}

/** The last line is "Name: message", whatever the kernel's traceback ends with. */
function readError(output: nbformat.IError, limit: number): IOutput {
  const last = output.evalue
    ? `${output.ename}: ${output.evalue}`
    : output.ename;
  const traceback = plainText((output.traceback ?? []).join('\n')).trimEnd();
  const lines = traceback === '' ? [] : [traceback];
  const text = traceback.endsWith(last)
    ? traceback
    : [...lines, last].join('\n');
  return withText({ kind: 'error' }, text, limit);
}

function readBundle(
  output: nbformat.IDisplayData | nbformat.IExecuteResult,
  limit: number
): IOutput | null {
  const data = output.data ?? {};
  const kind = output.output_type === 'execute_result' ? 'result' : 'display';
  const { image, note } = readImage(data);
  const text = [readText(data), note].filter(part => part !== '').join('\n');
  if (text === '' && !image) {
    return null;
  }
  return withText(image ? { kind, image } : { kind }, text, limit);
}

function withText(output: IOutput, text: string, limit: number): IOutput {
  const headShare = output.kind === 'error' ? ERROR_HEAD : undefined;
  const { text: kept, cut } = cutText(text, limit, headShare);
  if (kept !== '') {
    output.text = kept;
  }
  if (cut > 0) {
    output.cut = cut + (output.cut ?? 0);
  }
  return output;
}

/** An output that was read before, with less of its text. */
export function cutOutput(output: IOutput, limit: number): IOutput {
  return withText({ ...output }, output.text ?? '', limit);
}

function readImage(data: nbformat.IMimeBundle): {
  image?: IImage;
  note: string;
} {
  for (const mime of IMAGE_MIMES) {
    const value = data[mime];
    if (value === undefined) {
      continue;
    }
    const base64 = joined(value as nbformat.MultilineString).replace(
      /\s+/g,
      ''
    );
    if (base64.length <= MAX_IMAGE) {
      return { image: { mime, data: base64 }, note: '' };
    }
    return { note: imageNote(mime, base64.length) };
  }
  return { note: data['image/svg+xml'] === undefined ? '' : '[SVG picture]' };
}

export function imageNote(mime: string, base64Length: number): string {
  const megabytes = ((base64Length * 3) / 4 / 1e6).toFixed(1);
  return `[picture left out: ${mime}, ${megabytes} MB]`;
}

function readText(data: nbformat.IMimeBundle): string {
  const figure = figureNote(data);
  const plain = textOf(data, 'text/plain');
  if (figure !== '') {
    return BARE_REPR.test(plain.trim()) || plain.length > 200
      ? figure
      : [figure, plain].filter(part => part !== '').join('\n');
  }
  if (plain !== '' && !BARE_REPR.test(plain.trim())) {
    return plain;
  }
  return (
    textOf(data, 'text/markdown') ||
    htmlToText(textOf(data, 'text/html')) ||
    textOf(data, 'text/latex') ||
    jsonText(data['application/json']) ||
    plain
  );
}

function textOf(data: nbformat.IMimeBundle, mime: string): string {
  const value = data[mime];
  return typeof value === 'string' || Array.isArray(value)
    ? joined(value as nbformat.MultilineString)
    : '';
}

function jsonText(value: unknown): string {
  return value === undefined ? '' : JSON.stringify(value);
}

/** Data meant for a renderer (megabytes of it, often): what it is, in a line. */
function figureNote(data: nbformat.IMimeBundle): string {
  for (const [mime, value] of Object.entries(data)) {
    if (mime.startsWith('application/vnd.plotly.')) {
      return plotlyNote(value);
    }
    if (/^application\/vnd\.vega(lite)?\./.test(mime)) {
      return vegaNote(value);
    }
    if (mime === 'application/vnd.jupyter.widget-view+json') {
      return '[interactive widget]';
    }
    if (mime.startsWith('application/vnd.bokehjs')) {
      return '[Bokeh figure]';
    }
  }
  return '';
}

type Loose = Record<string, unknown>;

function record(value: unknown): Loose {
  return typeof value === 'object' && value !== null ? (value as Loose) : {};
}

function plotlyNote(value: unknown): string {
  const figure = record(value);
  const traces = Array.isArray(figure['data']) ? figure['data'] : [];
  const types = [
    ...new Set(traces.map(trace => String(record(trace)['type'] ?? 'scatter')))
  ].slice(0, 5);
  const title = record(figure['layout'])['title'];
  const words = typeof title === 'string' ? title : record(title)['text'];
  const named = typeof words === 'string' ? `, "${words.slice(0, 120)}"` : '';
  return `[Plotly figure: ${traces.length} traces (${types.join(', ')})${named}]`;
}

function vegaNote(value: unknown): string {
  const spec = record(value);
  const mark = spec['mark'];
  const kind = typeof mark === 'string' ? mark : record(mark)['type'];
  const channels = Object.entries(record(spec['encoding'])).flatMap(
    ([channel, how]) => {
      const field = record(how)['field'];
      return typeof field === 'string' ? [`${channel}: ${field}`] : [];
    }
  );
  const parts = [typeof kind === 'string' ? kind : '', ...channels].filter(
    part => part !== ''
  );
  return parts.length > 0
    ? `[Vega chart: ${parts.slice(0, 8).join(', ')}]`
    : '[Vega chart]';
}

function joined(value: nbformat.MultilineString | undefined): string {
  if (value === undefined) {
    return '';
  }
  return Array.isArray(value) ? value.join('') : value;
}
