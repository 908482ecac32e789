//! The instance's own network, for workers that are not to share the parent's.
//!
//! A bridge on which containers do not reach each other. Owns making it; `podbay down` removes it.

use super::{
    Docker, RuntimeError,
    container::{isolated_network, labels},
};
use bollard::{models::NetworkCreateRequest, query_parameters::ListNetworksOptionsBuilder};
use std::collections::HashMap;

impl Docker {
    /// The id of the instance's network, which is made unless it is there. Names of networks are
    /// not unique: callers take turns, and an id is what a container is given.
    ///
    /// # Errors
    /// [`RuntimeError`]: the engine has no bridge driver, or no addresses left.
    pub async fn isolated_network(&self, instance: &str) -> Result<String, RuntimeError> {
        const DOING: &str = "making the workers' network";
        let label = format!("{}={instance}", labels::INSTANCE);
        let filters = HashMap::from([("label".to_owned(), vec![label])]);
        let options = ListNetworksOptionsBuilder::default()
            .filters(&filters)
            .build();
        let list = self.api().list_networks(Some(options));
        let found = self.call("looking for the workers' network", list).await?;
        if let Some(id) = found.into_iter().filter_map(|network| network.id).min() {
            return Ok(id);
        }
        let request = NetworkCreateRequest {
            name: isolated_network(instance),
            driver: Some("bridge".to_owned()),
            options: Some(HashMap::from([(
                "com.docker.network.bridge.enable_icc".to_owned(),
                "false".to_owned(),
            )])),
            labels: Some(HashMap::from([(
                labels::INSTANCE.to_owned(),
                instance.to_owned(),
            )])),
            ..NetworkCreateRequest::default()
        };
        let made = self.call(DOING, self.api().create_network(request)).await?;
        Ok(made.id)
    }
}
