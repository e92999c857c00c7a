/** A conversation without a question: what Cellar sees, and what to begin with. */
import type { TranslationBundle } from '@jupyterlab/translation';
import * as React from 'react';

import type { ComposerModel, IComposerState } from '../chat/composer';
import {
  sightOf,
  startersFor,
  type ISight,
  type IStarter
} from '../chat/starters';
import type { ContextPart, IStatus } from '../wire/types';

export interface IEmptyProps {
  trans: TranslationBundle;
  model: ComposerModel;
  status: IStatus | null;
}

export function Empty(props: IEmptyProps): JSX.Element {
  const { trans, model, status } = props;
  const state = React.useSyncExternalStore(model.subscribe, model.getState);
  const sight = useSight(model, state);
  const start = (starter: IStarter): void => {
    model.add(starter.items);
    model.propose(starterText(trans, starter));
    model.focus();
  };
  return (
    <div className="jp-Cellar-empty">
      <p className="jp-Cellar-sees">{seesWords(trans, sight)}</p>
      <ul className="jp-Cellar-starters" aria-label={trans.__('Suggestions')}>
        {startersFor(sight).map(starter => (
          <li key={starter.name}>
            <button type="button" onClick={() => start(starter)}>
              {starterLabel(trans, starter)}
            </button>
          </li>
        ))}
      </ul>
      {status?.model_server.tiny ? (
        <p className="jp-Cellar-emptyNote jp-mod-tiny">
          {trans.__(
            'This is the small built-in demonstration model: it shows how Cellar works, but its answers are often wrong. Set VLLM_BASE_URL to use a real model server.'
          )}
        </p>
      ) : null}
      {status?.policy.history === 'memory' ? (
        <p className="jp-Cellar-emptyNote jp-mod-memory">
          {trans.__(
            'Conversations are not stored here: they are gone when the server restarts. Export what you want to keep.'
          )}
        </p>
      ) : null}
      <p className="jp-Cellar-emptyNote">
        {trans.__(
          'Your question and its context go to your own model server and nowhere else; secrets are masked before they are sent.'
        )}
      </p>
    </div>
  );
}

function seesWords(trans: TranslationBundle, sight: ISight): string {
  const { document, cells, selection, error } = sight;
  if (!document) {
    return trans.__(
      'No notebook or file is open. Open one and Cellar sees it, or just ask.'
    );
  }
  const things = [
    document.label,
    cells === null ? '' : trans._n('%1 cell', '%1 cells', cells),
    selection ? trans.__('a selection') : '',
    error ? trans.__('an error') : ''
  ].filter(word => word !== '');
  return trans.__('Cellar sees: %1', things.join(' · '));
}

function starterLabel(trans: TranslationBundle, starter: IStarter): string {
  switch (starter.name) {
    case 'fix':
      return trans.__('Fix this error: %1', starter.items[0].label);
    case 'explain':
      return trans.__('Explain the selection');
    case 'improve':
      return trans.__('Improve the selection');
    case 'summarise':
      return trans.__('Summarise this notebook');
    case 'next':
      return trans.__('Suggest the next step');
    case 'file':
      return trans.__('Explain this file');
    case 'plot':
      return trans.__('Draw a chart of the data');
    case 'begin':
      return trans.__('Start an analysis from a CSV file');
    case 'help':
      return trans.__('What can I do here?');
  }
}

/** Goes into the composer, where it can be changed before it is sent. */
function starterText(trans: TranslationBundle, starter: IStarter): string {
  switch (starter.name) {
    case 'fix':
      return '/fix ';
    case 'explain':
    case 'file':
      return '/explain ';
    case 'improve':
      return '/optimize ';
    case 'plot':
      return '/plot ';
    case 'summarise':
      return trans.__(
        'Summarise this notebook: what it does and what it finds.'
      );
    case 'next':
      return trans.__('What would be a good next step in this notebook?');
    case 'begin':
      return trans.__(
        'Write the first cells of a notebook that reads a CSV file and looks at its columns.'
      );
    case 'help':
      return '/help';
  }
}

/** Asked anew when what is open changes; counting cells reads the live notebook. */
function useSight(model: ComposerModel, state: IComposerState): ISight {
  const [sight, setSight] = React.useState<ISight>(() =>
    sightOf(state.automatic, [], null)
  );
  const { automatic } = state;
  React.useEffect(() => {
    let late = false;
    const timer = setTimeout(() => {
      void look(model, automatic).then(seen => {
        if (!late) {
          setSight(seen);
        }
      });
    }, LOOK_REST);
    return () => {
      late = true;
      clearTimeout(timer);
    };
  }, [model, automatic]);
  return sight;
}

/** Milliseconds of rest: a moving selection is not read at each step. */
const LOOK_REST = 200;

async function look(
  model: ComposerModel,
  automatic: IComposerState['automatic']
): Promise<ISight> {
  const notebook = automatic.find(item => item.kind === 'notebook');
  const [mentions, part] = await Promise.all([
    model.mentions(''),
    notebook
      ? notebook.read().catch((): ContextPart | null => null)
      : Promise.resolve(null)
  ]);
  return sightOf(automatic, mentions, part);
}
