import type { ICellModel } from '@jupyterlab/cells';
import { OutputModel } from '@jupyterlab/rendermime/lib/outputmodel';

import type { ICell } from '../../wire/types';
import { boundImages, jsonToCell, MAX_IMAGES, readCell } from '../cells';
import { jsonToCells } from '../collect';
import { extensionOf } from '../filetypes';

function picture(id: string): ICell {
  return {
    id,
    kind: 'code',
    outputs: [{ kind: 'display', image: { mime: 'image/png', data: 'AAAA' } }]
  };
}

const withPicture = (cells: ICell[]) =>
  cells.filter(cell => cell.outputs?.[0].image).map(cell => cell.id);

describe('pictures of a notebook', () => {
  const cells = Array.from({ length: 20 }, (_, i) => picture(`c${i}`));

  it('are the last ones', () => {
    expect(withPicture(boundImages(cells))).toEqual(
      cells.slice(-MAX_IMAGES).map(cell => cell.id)
    );
  });

  it('are those of the active cell first', () => {
    expect(withPicture(boundImages(cells, 'c0'))).toContain('c0');
  });

  it('that stay behind are mentioned', () => {
    const [first] = boundImages(cells);
    expect(first.outputs).toEqual([
      { kind: 'display', text: '[picture left out: image/png, 0.0 MB]' }
    ]);
  });
});

describe('a cell of a file', () => {
  it('is read with source in lines, count and outputs', () => {
    const cell = jsonToCell(
      {
        cell_type: 'code',
        metadata: {},
        source: ['a = 1\n', 'a'],
        execution_count: 4,
        outputs: [{ output_type: 'stream', name: 'stdout', text: ['x', 'y'] }]
      },
      2,
      1000
    );
    expect(cell).toEqual({
      id: 'cell-2',
      kind: 'code',
      source: 'a = 1\na',
      execution_count: 4,
      outputs: [{ kind: 'stdout', text: 'xy' }]
    });
  });

  it('of an unknown type is raw', () => {
    expect(
      jsonToCell({ cell_type: 'odd', metadata: {}, source: '' }, 0, 10).kind
    ).toBe('raw');
  });
});

describe('a cell of the live notebook', () => {
  function cellOf(...outputs: OutputModel[]): ICellModel {
    const cell = {
      id: 'c',
      type: 'code',
      sharedModel: { getSource: () => 'x' },
      executionCount: 1,
      outputs: { length: outputs.length, get: (i: number) => outputs[i] }
    };
    return cell as unknown as ICellModel;
  }
  const stream = () =>
    new OutputModel({
      value: { output_type: 'stream', name: 'stdout', text: 'one\n' }
    });
  const texts = (cell: ICell) => cell.outputs?.map(output => output.text);

  it('has what was printed since it was read before', () => {
    const printed = stream();
    const cell = cellOf(printed);
    expect(texts(readCell(cell, 100))).toEqual(['one\n']);
    printed.streamText?.insert(4, 'two\n');
    expect(texts(readCell(cell, 100))).toEqual(['one\ntwo\n']);
  });

  it('has what a display was updated to', () => {
    const shown = new OutputModel({
      value: {
        output_type: 'display_data',
        data: { 'text/plain': '10 %' },
        metadata: {}
      }
    });
    const cell = cellOf(shown);
    expect(texts(readCell(cell, 100))).toEqual(['10 %']);
    shown.setData({ data: { 'text/plain': '20 %' } });
    expect(texts(readCell(cell, 100))).toEqual(['20 %']);
  });

  it('is read once for each limit', () => {
    const cell = cellOf(stream());
    const [first] = readCell(cell, 100).outputs ?? [];
    expect(readCell(cell, 3).outputs?.[0]).not.toBe(first);
    expect(readCell(cell, 100).outputs?.[0]).toBe(first);
  });
});

describe('cells of a notebook file', () => {
  it('tell its language', () => {
    const part = jsonToCells(
      {
        nbformat: 4,
        nbformat_minor: 5,
        metadata: { language_info: { name: 'R' } },
        cells: [{ cell_type: 'markdown', metadata: {}, source: '# x', id: 'm' }]
      },
      'a.ipynb',
      ['m']
    );
    expect(part).toMatchObject({
      type: 'cells',
      path: 'a.ipynb',
      language: 'R',
      cells: [{ id: 'm', kind: 'markdown', source: '# x' }]
    });
  });
});

describe('the extension of a new file', () => {
  it.each([
    ['python', '.py'],
    ['R', '.R'],
    ['C++', '.cpp'],
    ['', '.txt'],
    ['klingon', '.txt']
  ])('of %s is %s', (language, extension) => {
    expect(extensionOf(language)).toBe(extension);
  });
});
