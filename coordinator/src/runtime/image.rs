//! Images: whether one is there, and fetching it.

use super::{Docker, RuntimeError};
use bollard::query_parameters::CreateImageOptionsBuilder;
use futures_util::StreamExt;
use std::collections::BTreeMap;

/// When images are pulled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PullPolicy {
    /// At the start, when absent.
    AtStart,
    /// When a worker of it is needed first, when absent (`LAZY_IMAGE_PULL`).
    WhenNeeded,
    /// Never (`SKIP_IMAGE_PULL`).
    Never,
}

/// What a worker has to know of its image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Image {
    /// The engine's id of it.
    pub id: String,
    /// Its environment (`ENV`): sessions have it, with the profile's and the claim's on top.
    pub env: BTreeMap<String, String>,
}

impl Docker {
    /// The image, or `None` when it is not on this engine.
    ///
    /// # Errors
    /// [`RuntimeError`] when the engine does not answer.
    pub async fn image(&self, image: &str) -> Result<Option<Image>, RuntimeError> {
        let call = self.api().inspect_image(image);
        match self.call("inspecting an image", call).await {
            Ok(found) => {
                let env = found
                    .config
                    .and_then(|config| config.env)
                    .unwrap_or_default();
                let pairs = env.iter().filter_map(|pair| pair.split_once('='));
                let env = pairs.map(|(k, v)| (k.to_owned(), v.to_owned())).collect();
                Ok(found.id.map(|id| Image { id, env }))
            }
            Err(RuntimeError::Refused { status: 404, .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// The image; pulls it first when it is absent and `pull` allows.
    ///
    /// # Errors
    /// [`RuntimeError::NoImage`] with what to do.
    pub async fn ensure_image(&self, image: &str, pull: bool) -> Result<Image, RuntimeError> {
        if let Some(found) = self.image(image).await? {
            return Ok(found);
        }
        let absent = |advice: String| RuntimeError::NoImage {
            image: image.to_owned(),
            advice,
        };
        // Names of our own are built here; on a public registry anybody could own them.
        if !pull || image.starts_with("podbay/") {
            return Err(absent(format!(
                "build it with scripts/build-images.sh, or pull it with `docker pull {image}`"
            )));
        }
        tracing::info!(image, "pulling");
        let reference = if image.contains(':') || image.contains('@') {
            image.to_owned()
        } else {
            format!("{image}:latest")
        };
        let options = CreateImageOptionsBuilder::default()
            .from_image(&reference)
            .build();
        let mut progress = self.api().create_image(Some(options), None, None);
        while let Some(step) = progress.next().await {
            match step {
                Ok(info) => {
                    if let Some(status) = info.status {
                        tracing::debug!(image, status, "pulling");
                    }
                }
                Err(error) => {
                    return Err(absent(format!(
                        "pulling it failed ({error}); build it with scripts/build-images.sh"
                    )));
                }
            }
        }
        self.image(image)
            .await?
            .ok_or_else(|| absent("the pull left no image".to_owned()))
    }
}
