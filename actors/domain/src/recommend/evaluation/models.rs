//! Every model by its name, trained on the part of a data set that lies before its moment.

use super::super::content::{Vectors, neighbours};
use super::super::model::Neighbours;
use super::super::models::{
    Alike, Cosine, CosineSettings, Ease, FactorSettings, Factors, Histories, Pearson, PearsonSettings,
    Popular, Scorer, Stack, StackSettings, Transitions, Varied,
};
use super::super::settings::{ContentSettings, ModelLimits, Settings};
use super::{Dataset, Served};

/// The models that can be compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ModelName {
    /// Decayed counts, the same for everybody.
    Popularity,
    /// What courses are about.
    Content,
    /// Item-to-item neighbourhoods by cosine.
    ItemKnn,
    /// User-to-user neighbourhoods by Pearson's correlation.
    UserKnn,
    /// Matrix factorisation P·Iᵀ.
    Factors,
    /// EASE^R with side information.
    Ease,
    /// Live directed transitions.
    Transitions,
    /// Everything in one score.
    Stack,
    /// The same with varied lists.
    Varied,
    /// What requests are answered from: the stack with rows that are cut, without live steps.
    Served,
}

impl ModelName {
    /// All of them, simplest first.
    pub const ALL: [ModelName; 10] = [
        ModelName::Popularity,
        ModelName::Content,
        ModelName::ItemKnn,
        ModelName::UserKnn,
        ModelName::Factors,
        ModelName::Ease,
        ModelName::Transitions,
        ModelName::Stack,
        ModelName::Varied,
        ModelName::Served,
    ];

    /// The name that commands and settings use.
    pub fn name(self) -> &'static str {
        match self {
            ModelName::Popularity => "popularity",
            ModelName::Content => "content",
            ModelName::ItemKnn => "item-knn",
            ModelName::UserKnn => "user-knn",
            ModelName::Factors => "mf",
            ModelName::Ease => "ease",
            ModelName::Transitions => "transitions",
            ModelName::Stack => "stack",
            ModelName::Varied => "stack-mmr",
            ModelName::Served => "served",
        }
    }

    /// The model of a name.
    pub fn parse(name: &str) -> Option<Self> {
        ModelName::ALL.into_iter().find(|model| model.name() == name)
    }
}

/// What shapes the models.
#[derive(Clone, Debug)]
pub struct ModelSettings {
    /// How likeness is told, for neighbours and variety.
    pub content: ContentSettings,
    /// Item-to-item neighbourhoods.
    pub cosine: CosineSettings,
    /// User-to-user neighbourhoods.
    pub pearson: PearsonSettings,
    /// Matrix factorisation.
    pub factors: FactorSettings,
    /// The stack and its parts, which are models themselves.
    pub stack: StackSettings,
    /// μ of varied lists: 1 is relevance alone.
    pub relevance: f32,
    /// What bounds the model that is served.
    pub limits: ModelLimits,
}

impl Default for ModelSettings {
    fn default() -> Self {
        ModelSettings {
            content: ContentSettings {
                neighbours_max: 30,
                ..Settings::default().content
            },
            cosine: CosineSettings::default(),
            pearson: PearsonSettings::default(),
            factors: FactorSettings::default(),
            stack: StackSettings::default(),
            relevance: Settings::default().lists.relevance,
            limits: Settings::default().limits,
        }
    }
}

/// Trains the stack; none if its model cannot be trained.
pub fn stack(dataset: &Dataset, histories: &Histories, settings: &ModelSettings) -> Option<Stack> {
    let about = Vectors::new(&dataset.features, &settings.content);
    let similar = likeness(dataset, settings);
    let labels = dataset.weighted_labels();
    Stack::train(histories, &about, similar, labels, &settings.stack)
}

/// Trains a model; none if it cannot be trained.
pub fn build(
    name: ModelName,
    dataset: &Dataset,
    histories: &Histories,
    settings: &ModelSettings,
) -> Option<Box<dyn Scorer>> {
    let parts = &settings.stack;
    Some(match name {
        ModelName::Popularity => Box::new(Popular::train(histories, &parts.popular)),
        ModelName::Content => Box::new(Alike::new(likeness(dataset, settings), parts.ease.recency_tau)),
        ModelName::ItemKnn => Box::new(Cosine::train(histories, &settings.cosine)),
        ModelName::UserKnn => Box::new(Pearson::train(histories, &settings.pearson)),
        ModelName::Factors => Box::new(Factors::train(histories, &settings.factors)),
        ModelName::Ease => {
            let about = Vectors::new(&dataset.features, &settings.content);
            Box::new(Ease::train(histories, &about, &parts.ease)?)
        }
        ModelName::Transitions => Box::new(Transitions::train(histories, &parts.transitions)),
        ModelName::Stack => Box::new(stack(dataset, histories, settings)?),
        ModelName::Varied => {
            let stack = stack(dataset, histories, settings)?;
            Box::new(Varied::new(
                stack,
                likeness(dataset, settings),
                settings.relevance,
            ))
        }
        ModelName::Served => {
            let served = Settings {
                stack: parts.clone(),
                content: settings.content.clone(),
                limits: settings.limits.clone(),
                ..Settings::default()
            };
            Box::new(Served::train(
                &dataset.features,
                &dataset.labels,
                histories,
                &served,
            )?)
        }
    })
}

/// For every course those most like it.
fn likeness(dataset: &Dataset, settings: &ModelSettings) -> Neighbours {
    let everything = vec![1.0; dataset.features.len()];
    neighbours(&dataset.features, &everything, &settings.content)
}

/// For every course those most like it among the courses that were taken up before: what carries scores to cold ones.
pub fn warm_neighbours(dataset: &Dataset, histories: &Histories, settings: &ModelSettings) -> Neighbours {
    let warm: Vec<f32> = histories
        .counts()
        .into_iter()
        .map(|count| if count > 0 { 1.0 } else { 0.0 })
        .collect();
    let nearest = neighbours(&dataset.features, &warm, &settings.content);
    let mut table = Neighbours::with_capacity(warm.len(), settings.content.neighbours_max);
    for (course, _) in (0_u32..).zip(&warm) {
        let row: Vec<_> = nearest
            .of(course)
            .iter()
            .copied()
            .filter(|(other, _)| warm[*other as usize] > 0.0)
            .collect();
        table.push_row(&row);
    }
    table
}
