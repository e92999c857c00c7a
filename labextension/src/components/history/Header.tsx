/** The panel's first line: which conversation this is, and the way to the others. */
import { addIcon, editIcon, historyIcon } from '@jupyterlab/ui-components';
import type { TranslationBundle } from '@jupyterlab/translation';
import * as React from 'react';

import type { ChatStore } from '../../chat/store';
import { visible } from '../markdown/safe';
import { Export } from './Export';
import { IconButton } from '../buttons';
import { TitleField } from './Title';

export interface IHeaderProps {
  trans: TranslationBundle;
  store: ChatStore;
  /** the list of conversations is shown */
  listing: boolean;
  toggleList(): void;
  /** a new conversation was begun: the cursor goes into the composer */
  began(): void;
}

export function Header(props: IHeaderProps): JSX.Element {
  const { trans, store, listing, toggleList, began } = props;
  const state = React.useSyncExternalStore(store.subscribe, store.getState);
  const [renaming, setRenaming] = React.useState(false);
  const rename = React.useRef<HTMLButtonElement>(null);
  const wasRenaming = React.useRef(false);
  React.useLayoutEffect(() => {
    const nowhere = document.activeElement === document.body;
    if (wasRenaming.current && !renaming && nowhere) {
      rename.current?.focus();
    }
    wasRenaming.current = renaming;
  }, [renaming]);
  const id = state.conversationId;
  React.useEffect(() => setRenaming(false), [id]);
  const others = [...state.unseen].filter(other => other !== id);
  const title = visible(state.title) || trans.__('New conversation');
  return (
    <header className="jp-Cellar-header">
      <IconButton
        icon={historyIcon}
        className={others.length ? 'jp-mod-unseen' : ''}
        label={
          listing
            ? trans.__('Back to the conversation')
            : others.length
              ? trans._n(
                  'Earlier conversations: a new answer in %1',
                  'Earlier conversations: new answers in %1',
                  others.length
                )
              : trans.__('Earlier conversations')
        }
        expanded={listing}
        act={toggleList}
      />
      {renaming && id !== '' ? (
        <TitleField
          trans={trans}
          title={title}
          done={text => {
            setRenaming(false);
            if (text !== null) {
              void store.rename(id, text);
            }
          }}
        />
      ) : (
        <h2
          className="jp-Cellar-title"
          title={title}
          onDoubleClick={() => setRenaming(id !== '')}
        >
          {title}
        </h2>
      )}
      {id !== '' ? (
        <>
          {renaming ? null : (
            <IconButton
              ref={rename}
              icon={editIcon}
              label={trans.__('Rename')}
              act={() => setRenaming(true)}
            />
          )}
          <Export trans={trans} store={store} id={id} title={title} />
        </>
      ) : null}
      <IconButton
        icon={addIcon}
        label={trans.__('New conversation')}
        act={() => {
          store.newConversation();
          began();
        }}
      />
    </header>
  );
}
