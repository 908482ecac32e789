//! `podbay man`: the manual page.

use crate::cli::{Failure, output::term};
use std::process::ExitCode;

pub(in crate::cli) fn run(mut root: clap::Command) -> Result<ExitCode, Failure> {
    let mut page = Vec::new();
    root.build();
    clap_mangen::Man::new(root.clone()).render(&mut page)?;
    for sub in root.get_subcommands().filter(|sub| !sub.is_hide_set()) {
        let man = clap_mangen::Man::new(sub.clone());
        for section in [
            clap_mangen::Man::render_name_section,
            clap_mangen::Man::render_synopsis_section,
            clap_mangen::Man::render_options_section,
        ] {
            section(&man, &mut page)?;
        }
    }
    term::print(&String::from_utf8_lossy(&page))?;
    Ok(ExitCode::SUCCESS)
}
