//! Opening the spawn form from the state.

use crate::dashboard::{
    app::{
        effect::{Effect, Fetch},
        state::AppState,
    },
    dialogs::spawn::{fields::Offer, form::SpawnForm, request::typable},
    widgets::text_field::TextField,
};

impl SpawnForm {
    /// With the last values, for the selected worker's project; and what it has to know.
    pub fn open(state: &AppState) -> (Self, Vec<Effect>) {
        let offers = state.pools.values().map(Offer::from).collect();
        let mut form = Self::new(&state.spawn_memory, offers, &state.recent);
        let selected = state.selected_worker();
        let project = selected
            .and_then(|worker| typable(worker.view.project.as_ref()?))
            .or_else(|| {
                form.project
                    .is_empty()
                    .then(|| state.recent.first().cloned())?
            });
        if let Some(project) = project {
            form.project = TextField::new(&project);
        }
        (form, vec![Effect::Fetch(Fetch::Recent)])
    }
}
