/** Code of an answer in place of a cell, or of some of its text. */
import { Dialog, showDialog } from '@jupyterlab/apputils';
import type { Cell } from '@jupyterlab/cells';
import { PathExt } from '@jupyterlab/coreutils';
import type { NotebookPanel } from '@jupyterlab/notebook';
import type { TranslationBundle } from '@jupyterlab/translation';

import type { ISubject } from '../chat/subject';
import { selected } from './collect';
import type { Documents } from './documents';
import { decide, type Doubt, type ISituation, type Spot } from './replacing';

export interface ICodeBlock {
  code: string;
  language: string;
}

export interface IReplacementOptions {
  documents: Documents;
  trans: TranslationBundle;
  /** put it into this cell: in place of what is selected, or of all */
  write(
    panel: NotebookPanel,
    cell: Cell,
    block: ICodeBlock,
    all: boolean
  ): void;
  insertBelow(panel: NotebookPanel, block: ICodeBlock): void;
}

interface IAsked {
  where: ISituation['asked'];
  panel?: NotebookPanel;
  index: number;
}

export class Replacement {
  constructor(private readonly options: IReplacementOptions) {}

  /** `panel` is the notebook used last. */
  async replace(
    panel: NotebookPanel,
    block: ICodeBlock,
    subject: ISubject | null
  ): Promise<void> {
    const asked = subject && this.find(panel, subject);
    const cell = panel.content.activeCell;
    const decision = decide({
      how: subject?.how ?? null,
      asked: asked?.where ?? 'here',
      empty: cell?.model.sharedModel.getSource().trim() === '',
      selected: Boolean(cell?.editor && selected(cell.editor))
    });
    const spot =
      'spot' in decision
        ? decision.spot
        : await this.choose(panel, subject, asked, decision);
    if (spot === 'asked' && subject) {
      // Looked for again: it may have gone while the user was asked.
      this.writeAsked(this.find(panel, subject), block);
    } else if (spot === 'below') {
      this.options.insertBelow(panel, block);
    } else if (spot && cell && !cell.isDisposed) {
      this.options.write(panel, cell, block, spot === 'here');
    }
  }

  private writeAsked({ panel, index }: IAsked, block: ICodeBlock): void {
    const cell = panel?.content.widgets[index];
    if (panel && cell) {
      panel.content.deselectAll();
      panel.content.activeCellIndex = index;
      this.options.write(panel, cell, block, true);
    }
  }

  private find(current: NotebookPanel, { path, cell }: ISubject): IAsked {
    const open = this.options.documents.find(path);
    if (open?.kind !== 'notebook') {
      return { where: 'closed', index: -1 };
    }
    const panel = open.widget;
    const { widgets, activeCellIndex } = panel.content;
    const index = widgets.findIndex(each => each.model.id === cell);
    if (index < 0) {
      return { where: 'gone', index };
    }
    const here = panel === current && index === activeCellIndex;
    const locked = widgets[index].model.getMetadata('editable') === false;
    return {
      where: here ? 'here' : locked ? 'locked' : 'elsewhere',
      panel,
      index
    };
  }

  /** null: nothing shall happen. */
  private async choose(
    panel: NotebookPanel,
    subject: ISubject | null,
    asked: IAsked | null,
    { doubt, spots }: { doubt: Doubt; spots: Spot[] }
  ): Promise<Spot | null> {
    const { trans } = this.options;
    const here = panel.content.activeCellIndex + 1;
    const there = asked ? asked.index + 1 : here;
    const name = PathExt.basename(subject?.path ?? '');
    const labels = spots.map(spot => spotWords(trans, spot, here, there));
    const { button } = await showDialog({
      title: trans.__('What shall be replaced?'),
      body: doubtWords(trans, doubt, name, here, there),
      buttons: [
        Dialog.cancelButton({ className: CHOICE }),
        ...labels
          // What is offered first stands last, and out.
          .map((label, index) =>
            Dialog.createButton({
              label,
              accept: index === 0,
              className: CHOICE
            })
          )
          .reverse()
      ]
    });
    return spots[labels.indexOf(button.label)] ?? null;
  }
}

/** Of the dialog's buttons. */
const CHOICE = 'jp-Cellar-choice';

function spotWords(
  trans: TranslationBundle,
  spot: Spot,
  here: number,
  there: number
): string {
  switch (spot) {
    case 'below':
      return trans.__('Insert below');
    case 'selection':
      return trans.__('Replace the selection');
    case 'asked':
      return trans.__('Replace cell %1', there);
    case 'here':
      return trans.__('Replace cell %1', here);
  }
}

function doubtWords(
  trans: TranslationBundle,
  doubt: Doubt,
  name: string,
  here: number,
  there: number
): string {
  switch (doubt) {
    case 'gone':
      return trans.__(
        'The cell that you asked about is no longer in %1.',
        name
      );
    case 'closed':
      return trans.__('You asked about a cell of %1, which is not open.', name);
    case 'locked':
      return trans.__(
        'You asked about cell %1, which cannot be edited.',
        there
      );
    case 'moved_on':
      return trans.__(
        'You asked in cell %1, and are in cell %2 now.',
        there,
        here
      );
    case 'selected_elsewhere':
      return trans.__(
        'You asked about cell %1, and text is selected in cell %2.',
        there,
        here
      );
    case 'unselected':
      return trans.__(
        'You asked about some text of cell %1, and nothing is selected there now.',
        there
      );
  }
}
